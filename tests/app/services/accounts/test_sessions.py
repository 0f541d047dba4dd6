import pytest

from app.errors import NotFoundError
from app.records import Role, User
from app.services.accounts.accounts import AccountService
from app.services.accounts.identity import Identity
from app.services.accounts.sessions import SessionService
from app.services.container import Services
from tests.app.services.accounts.conftest import ELSEWHERE, HOME, actions, coming_from
from tests.movable_clock import MovableClock
from tests.people import PASSWORD


@pytest.fixture
def sessions(identity: Identity) -> SessionService:
    return identity.sessions


def test_a_session_is_found_by_its_secret_alone(sessions: SessionService, alice: User) -> None:
    secret = sessions.begin(alice.id, "Firefox on Linux")

    user, session = sessions.find(secret) or (None, None)

    assert user == alice
    assert session is not None
    assert session.address == HOME
    assert secret not in repr(session)
    for guess in ("", "guess", session.digest, str(session.id), "\ud800"):
        assert sessions.find(guess) is None


def test_an_idle_session_ends(sessions: SessionService, alice: User, clock: MovableClock) -> None:
    secret = sessions.begin(alice.id, "")
    for _ in range(3):
        clock.move(minutes=59)
        assert sessions.find(secret)

    clock.move(minutes=61)

    assert sessions.find(secret) is None
    assert sessions.list_of_user(alice.id) == []


def test_a_session_ends_after_a_day_however_busy(
    sessions: SessionService, alice: User, clock: MovableClock
) -> None:
    secret = sessions.begin(alice.id, "")
    for _ in range(48):
        clock.move(minutes=30)
        assert sessions.find(secret)

    clock.move(minutes=1)

    assert sessions.find(secret) is None


def test_sessions_of_administrators_end_sooner(
    sessions: SessionService, admin: User, clock: MovableClock
) -> None:
    idle, busy = sessions.begin(admin.id, ""), sessions.begin(admin.id, "")
    for _ in range(36):
        clock.move(minutes=20)
        assert sessions.find(busy)
    assert sessions.find(idle) is None

    clock.move(minutes=1)

    assert sessions.find(busy) is None


def test_who_becomes_an_administrator_has_their_limits_at_once(
    services: Services, sessions: SessionService, alice: User, clock: MovableClock
) -> None:
    secret = sessions.begin(alice.id, "")
    services.accounts.set_role(alice.id, Role.ADMIN)

    clock.move(minutes=31)

    assert sessions.find(secret) is None


def test_the_last_use_is_written_once_a_minute_at_most(
    sessions: SessionService, alice: User, clock: MovableClock
) -> None:
    secret, begun = sessions.begin(alice.id, ""), clock.now
    clock.move(seconds=59)
    sessions.find(secret)
    assert sessions.list_of_user(alice.id)[0].last_seen == begun

    clock.move(seconds=1)
    sessions.find(secret)

    assert sessions.list_of_user(alice.id)[0].last_seen == clock.now


def test_a_session_ends_at_sign_out(
    services: Services, sessions: SessionService, alice: User
) -> None:
    secret, other = sessions.begin(alice.id, ""), sessions.begin(alice.id, "")

    sessions.end(secret)
    sessions.end(secret)

    assert sessions.find(secret) is None
    assert sessions.find(other)
    assert actions(services).count("account.signed_out") == 1


def test_one_session_or_all_others_can_be_ended(sessions: SessionService, alice: User) -> None:
    secrets = [sessions.begin(alice.id, name) for name in ("a", "b", "c")]
    by_device = {session.device: session for session in sessions.list_of_user(alice.id)}

    sessions.end_one(alice.id, by_device["a"].id, actor=alice.id)
    assert [sessions.find(secret) is not None for secret in secrets] == [False, True, True]
    sessions.end_all(alice.id, keep=by_device["b"].id)

    assert [sessions.find(secret) is not None for secret in secrets] == [False, True, False]


def test_nobody_ends_the_session_of_somebody_else(
    sessions: SessionService, alice: User, charlie: User
) -> None:
    secret = sessions.begin(alice.id, "")
    (session,) = sessions.list_of_user(alice.id)

    with pytest.raises(NotFoundError):
        sessions.end_one(charlie.id, session.id, actor=charlie.id)
    assert sessions.find(secret)


def test_deactivation_ends_all_sessions_for_good(
    accounts: AccountService, sessions: SessionService, alice: User
) -> None:
    secret = sessions.begin(alice.id, "")
    half_way = sessions.begin(alice.id, "", is_complete=False)

    accounts.set_active(alice.id, active=False)
    assert sessions.find(secret) is None
    accounts.set_active(alice.id, active=True)

    assert sessions.find(secret) is None
    assert sessions.find_half_way(half_way) is None


def test_a_half_way_session_opens_nothing_and_is_not_listed(
    sessions: SessionService, alice: User
) -> None:
    secret = sessions.begin(alice.id, "", is_complete=False)

    assert sessions.find(secret) is None
    assert sessions.list_of_user(alice.id) == []
    assert sessions.find_half_way(secret) == alice
    assert sessions.find_half_way(sessions.begin(alice.id, "")) is None


def test_sessions_outlive_a_restart(services: Services, alice: User) -> None:
    with coming_from(ELSEWHERE):
        secret = services.identity.sign_in.sign_in("alice", PASSWORD).secret
    again = SessionService(
        services.identity.sessions._store,
        services.accounts._users,
        services.identity.sessions._limits,
        services.audit,
    )

    assert again.find(secret)
    assert again.list_of_user(alice.id)[0].address == ELSEWHERE
