from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.errors import SignInFailedError, TooManyAttemptsError
from app.records import User
from app.services.accounts.identity import Identity
from app.services.accounts.throttle import PASSWORDS, Throttle, network_of
from app.services.audit import client_address
from app.services.container import Services
from app.storage.throttle import ThrottleStore
from tests.app.services.accounts.conftest import ELSEWHERE, HOME, coming_from
from tests.movable_clock import MovableClock
from tests.people import PASSWORD


def wrong_tries(identity: Identity, name: str = "alice", at_most: int = 1000) -> int:
    """Sign in with wrong passwords until one is not looked at; return how many were."""
    for count in range(at_most):
        try:
            identity.sign_in.sign_in(name, f"wrong {count}")
        except TooManyAttemptsError:
            return count
        except SignInFailedError:
            pass
    return at_most


def test_after_a_few_wrong_passwords_one_a_minute_is_looked_at(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    assert wrong_tries(identity) == 5
    with pytest.raises(TooManyAttemptsError, match=r"Try again in 60 seconds\.") as refusal:
        identity.sign_in.sign_in("alice", PASSWORD)
    assert refusal.value.retry_after_s == 60

    clock.move(minutes=1)

    assert wrong_tries(identity) == 1
    clock.move(minutes=1)
    assert identity.sign_in.sign_in("alice", PASSWORD).user == alice


def test_a_clock_that_jumps_back_keeps_nobody_out_for_longer(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    assert wrong_tries(identity) == 5

    clock.move(days=-365)
    assert wrong_tries(identity) == 0  # nor does it let anybody guess sooner

    clock.move(minutes=1)
    assert identity.sign_in.sign_in("alice", PASSWORD).user == alice


def test_an_unknown_name_is_slowed_like_a_known_one(identity: Identity, alice: User) -> None:
    assert wrong_tries(identity, "nobody") == wrong_tries(identity, "alice") == 5


def test_name_and_address_of_an_account_count_as_one(identity: Identity, alice: User) -> None:
    wrong_tries(identity, "alice", at_most=3)

    assert wrong_tries(identity, "ALICE@hospital.org") == 2


def test_right_passwords_never_add_up(identity: Identity, alice: User) -> None:
    for _ in range(40):
        identity.sign_in.sign_in("alice", PASSWORD)

    assert wrong_tries(identity) == 5


def test_many_names_from_one_address_are_slowed(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    """A list of stolen passwords names each account once."""
    with coming_from(ELSEWHERE):
        tried = sum(wrong_tries(identity, f"user{n}", at_most=1) for n in range(200))
        assert tried == 30
        clock.move(minutes=10)
        assert sum(wrong_tries(identity, f"user{n}", at_most=1) for n in range(200, 400)) == 30
    assert identity.sign_in.sign_in("alice", PASSWORD).user == alice


def test_many_addresses_cannot_lock_an_owner_out(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    identity.sign_in.sign_in("alice", PASSWORD)  # from HOME, which is known from now on

    tried = 0
    for number in range(100):
        with coming_from(f"10.0.0.{number}"):
            tried += wrong_tries(identity, at_most=2)
    assert tried == 50

    assert identity.sign_in.sign_in("alice", PASSWORD).user == alice
    with coming_from(ELSEWHERE), pytest.raises(TooManyAttemptsError):
        identity.sign_in.sign_in("alice", PASSWORD)
    clock.move(minutes=1)
    with coming_from(ELSEWHERE):
        assert identity.sign_in.sign_in("alice", PASSWORD).user == alice


def test_an_address_is_known_for_a_month(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    identity.sign_in.sign_in("alice", PASSWORD)
    clock.move(days=31)
    for number in range(60):
        with coming_from(f"10.0.0.{number}"):
            wrong_tries(identity, at_most=1)

    with pytest.raises(TooManyAttemptsError):
        identity.sign_in.sign_in("alice", PASSWORD)


def test_attempts_at_once_do_not_slip_through(identity: Identity, alice: User) -> None:
    all_ready = Barrier(16)

    def guess(number: int) -> bool:
        client_address.set(HOME)
        all_ready.wait()
        try:
            identity.sign_in.sign_in("alice", f"wrong {number}")
        except TooManyAttemptsError:
            return False
        except SignInFailedError:
            return True
        return True

    with ThreadPoolExecutor(16) as pool:
        looked_at = sum(pool.map(guess, range(16)))

    assert looked_at == 5


def test_a_restart_forgets_nothing(services: Services, alice: User, clock: MovableClock) -> None:
    wrong_tries(services.identity)
    after_restart = Throttle(ThrottleStore(services.identity.throttle._store._database), clock)

    with pytest.raises(TooManyAttemptsError):
        after_restart.admit(PASSWORDS, "alice", alice.id)


def test_what_is_old_is_removed(identity: Identity, alice: User, clock: MovableClock) -> None:
    wrong_tries(identity)
    clock.move(days=3)

    wrong_tries(identity, "nobody", at_most=1)

    with identity.throttle._store._database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM attempts").scalar() == 3


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
