"""Slows down who guesses passwords or codes, without locking anybody out.

Each attempt is a drop in up to three leaky buckets, put there *before* the password is checked and
taken out again if it was right, so that attempts at once do not slip through and right ones never
add up. While one of them is full, no attempt is heard:

- of the account and the address together: a few attempts, then one a minute;
- of the address: more attempts, over all accounts, against lists of stolen passwords;
- of the account, from all addresses from which its owner has not signed in of late: against many
  addresses that guess together.

A stranger can keep only buckets full that are not the owner's: who signs in from where they have
signed in before is counted by the first two alone. From a new place the owner waits while the
account is under attack, and a one-time link that sets a new password works at any time.
"""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from app.errors import TooManyAttemptsError
from app.services.audit import client_address
from app.services.clock import Clock, utc_now
from app.storage.throttle import Bucket, ThrottleStore

KNOWN_FOR = timedelta(days=30)
IPV6_PREFIX = 64  # whoever has one address of it has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is attempted, and how often that may fail.

    Attributes:
        name: Tells the buckets of one scope from those of another.
        pair: For one account from one address.
        address: For one address, whatever the account.
        account: For one account from all addresses that are new to it.
    """

    name: str
    pair: Bucket
    address: Bucket
    account: Bucket


PASSWORDS = Scope(
    name="password",
    pair=Bucket(capacity=5, leak_s=60),
    address=Bucket(capacity=30, leak_s=10),
    account=Bucket(capacity=50, leak_s=60),
)
# Three codes of a million are right at a time, and only who has the password comes that far.
CODES = Scope(
    name="code",
    pair=Bucket(capacity=5, leak_s=60),
    address=Bucket(capacity=20, leak_s=30),
    account=Bucket(capacity=10, leak_s=300),
)
# Forms are filled in wrongly more often than passwords, but tell which names are taken.
REGISTRATIONS = Scope(
    name="registration",
    pair=Bucket(capacity=20, leak_s=60),
    address=Bucket(capacity=60, leak_s=30),
    account=Bucket(capacity=100, leak_s=60),
)
# Nobody's mailbox is to be filled: what was asked for is never taken back.
MAILS = Scope(
    name="mail",
    pair=Bucket(capacity=3, leak_s=1200),
    address=Bucket(capacity=20, leak_s=60),
    account=Bucket(capacity=5, leak_s=1200),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that was let through.

    Attributes:
        keys: Of the buckets that hold a drop of it; the first is that of account and address.
    """

    user_id: UUID | None
    address: str
    keys: tuple[str, ...]


class Throttle:
    """Lets attempts through, or not yet. The client's address is that of the present request.

    Args:
        store: Where the buckets are.
        clock: Tells the time.
    """

    def __init__(self, store: ThrottleStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def admit(self, scope: Scope, name: str, user_id: UUID | None = None) -> Attempt:
        """Let an attempt through and count it.

        Args:
            scope: What is attempted.
            name: The account as it was typed; it counts where there is no such user.
            user_id: The account's user, if there is one.

        Raises:
            TooManyAttemptsError: Not yet; it says when.
        """
        now, address = self._clock(), network_of(client_address.get())
        account = str(user_id) if user_id else name.casefold()
        buckets = {
            _key(scope, "pair", account, address): scope.pair,
            _key(scope, "address", address): scope.address,
        }
        if user_id is None or not self._store.is_known(user_id, address, now - KNOWN_FOR):
            buckets[_key(scope, "account", account)] = scope.account
        wait_s = self._store.take(buckets, now)
        if wait_s > 0:
            raise TooManyAttemptsError(wait_s)
        return Attempt(user_id=user_id, address=address, keys=tuple(buckets))

    def take_back(self, attempt: Attempt) -> None:
        """Count an attempt no longer, since it was right."""
        pair, *others = attempt.keys
        self._store.empty(pair)
        for key in others:
            self._store.give_back(key)

    def know(self, user_id: UUID) -> None:
        """Remember that a user has signed in, with all that it takes, from the present address."""
        self._store.know(user_id, network_of(client_address.get()), self._clock())

    def forget(self, user_id: UUID) -> None:
        """Remove what is kept of a user who is being deleted."""
        self._store.forget_user(user_id)


def network_of(address: str) -> str:
    """Return what stands for a client: its IPv4 address, or the network of its IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a socket in the file system has none
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed, IPV6_PREFIX), strict=False))
    return str(parsed)


def _key(scope: Scope, *parts: str) -> str:
    # Hashed: a typed name may be a password in the wrong field, and may be long.
    return sha256("\0".join((scope.name, *parts)).encode("utf-8", "replace")).hexdigest()
