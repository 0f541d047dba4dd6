"""API tokens: making them, and recognising who a script speaks for."""

import secrets
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from app.errors import (
    StorageError,
    TokenExpiredError,
    TokenLifetimeInvalidError,
    TokenNameInvalidError,
    TokenScopesInvalidError,
    TooManyTokensError,
)
from app.records import ApiToken, Scope, User
from app.services.audit import AuditService
from app.services.clock import Clock, utc_now
from app.storage.tokens import TokenStore
from app.storage.users import UserStore

SECRET_PREFIX = "veriscan_"  # noqa: S105 - so that a secret that leaked is recognised as one
SECRET_BYTES = 32
MAX_NAME_CHARACTERS = 60
TOUCH_INTERVAL = timedelta(minutes=1)
DEFAULT_DAYS = 90
MAX_DAYS = 365
MAX_TOKENS = 20  # of one user, that have not expired
ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a script speaks for, and with which token."""

    user: User
    token: ApiToken


class ApiTokenService:
    """Makes, finds and revokes API tokens.

    Args:
        store: Where they are.
        users: Where the accounts are.
        audit: Where it is recorded that one was made or revoked.
        clock: Tells the time.
    """

    def __init__(
        self, store: TokenStore, users: UserStore, audit: AuditService, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._users = users
        self._audit = audit
        self._clock = clock

    def create(
        self,
        user_id: UUID,
        name: str,
        *,
        scopes: Set[Scope] = ALL_SCOPES,
        days: int = DEFAULT_DAYS,
    ) -> tuple[ApiToken, str]:
        """Make an API token; returns it with its secret, which cannot be shown again.

        Args:
            user_id: Whose it is.
            name: The user's own words for it.
            scopes: What may be done with it; at least one.
            days: For how many days it is good, 1 to 365.

        Raises:
            TokenNameInvalidError: The name is empty or longer than 60 characters (field ``name``).
            TokenScopesInvalidError: There is no scope (field ``scopes``).
            TokenLifetimeInvalidError: So long is no choice (field ``days``).
            TooManyTokensError: The user has 20 already that have not expired (field ``name``).
        """
        name = name.strip()
        if not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()):
            raise TokenNameInvalidError(MAX_NAME_CHARACTERS)
        if not scopes:
            raise TokenScopesInvalidError
        if not 1 <= days <= MAX_DAYS:
            raise TokenLifetimeInvalidError(MAX_DAYS)
        secret, now = SECRET_PREFIX + new_secret(), self._clock()
        token = ApiToken(
            id=uuid4(),
            user_id=user_id,
            name=name,
            digest=digest_of(secret),
            created=now,
            scopes=frozenset(scopes),
            expires=now + timedelta(days=days),
        )
        if not self._store.add(token, at_most=MAX_TOKENS):
            raise TooManyTokensError(MAX_TOKENS)
        self._audit.record(
            "token.created",
            actor=user_id,
            subject=str(token.id),
            scopes=" ".join(sorted(scopes)),
            days=days,
        )
        return token, secret

    def list_of_user(self, user_id: UUID) -> list[ApiToken]:
        """Return a user's tokens, newest first."""
        return self._store.list_of_user(user_id)

    def revoke(self, user_id: UUID, token_id: UUID) -> None:
        """Make a token useless for ever.

        Raises:
            NotFoundError: The user has no such token.
        """
        self._store.delete(user_id, token_id)
        self._audit.record("token.revoked", actor=user_id, subject=str(token_id))

    def is_expired(self, token: ApiToken) -> bool:
        """Return whether a token opens nothing any more."""
        return token.expires is not None and token.expires <= self._clock()

    def bearer_of(self, secret: str) -> Bearer | None:
        """Return the active user for whom an API secret speaks, with the token, or None.

        It is looked up by its digest, so the time of a comparison tells nothing of the secret.

        Raises:
            TokenExpiredError: The token was good once.
        """
        token = self._store.find_by_digest(digest_of(secret))
        user = self._users.find(token.user_id) if token else None
        if token is None or user is None or not user.is_active:
            return None
        if token.expires is not None and self.is_expired(token):
            raise TokenExpiredError(token.expires)
        now = self._clock()
        if token.last_used is None or now - token.last_used >= TOUCH_INTERVAL:
            with suppress(StorageError):  # whoever only reads can do so while the disk is full
                self._store.touch(token.id, now)
        return Bearer(user, token)

    def forget(self, user_id: UUID) -> None:
        """Remove all tokens of a user who is being deleted."""
        self._store.delete_of_user(user_id)


def new_secret() -> str:
    """Return 256 random bits as text that is safe in a URL."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, hex.

    Secrets have at least 112 random bits, so that a fast hash without salt cannot be turned round.
    """
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
