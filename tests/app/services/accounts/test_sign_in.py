import time
from statistics import median
from uuid import UUID

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from app.errors import (
    AccountInactiveError,
    CodeWrongError,
    CurrentPasswordWrongError,
    LinkInvalidError,
    SignInFailedError,
    TooManyAttemptsError,
)
from app.records import User
from app.services.accounts import passwords as passwords_module
from app.services.accounts.accounts import AccountService
from app.services.accounts.identity import Identity
from app.services.accounts.passwords import PasswordService
from app.services.accounts.sign_in import SignInService
from app.services.container import Services
from app.storage.tinydb_users import TinyDBUserStore
from tests.app.services.accounts.conftest import actions
from tests.app.services.accounts.test_second_factors import code_of, turn_on
from tests.movable_clock import MovableClock
from tests.people import PASSWORD


@pytest.fixture
def sign_in(identity: Identity) -> SignInService:
    return identity.sign_in


@pytest.mark.parametrize(
    "name", ["alice", "ALICE", " alice ", "alice@hospital.org", "Alice@HOSPITAL.org"]
)
def test_a_user_signs_in_with_name_or_address(
    sign_in: SignInService, alice: User, name: str
) -> None:
    assert sign_in.check_password(name, PASSWORD) == alice


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", PASSWORD.upper()),
        ("bob", PASSWORD),
        ("bob@hospital.org", PASSWORD),
        ("", ""),
        ("alice\x00", PASSWORD),
    ],
)
def test_a_wrong_name_and_a_wrong_password_look_the_same(
    sign_in: SignInService, alice: User, name: str, password: str
) -> None:
    with pytest.raises(SignInFailedError, match="The username or the password is wrong"):
        sign_in.check_password(name, password)


def test_only_the_right_password_tells_that_an_account_is_deactivated(
    accounts: AccountService, sign_in: SignInService, alice: User
) -> None:
    accounts.set_active(alice.id, active=False)

    with pytest.raises(AccountInactiveError):
        sign_in.check_password("alice", PASSWORD)
    with pytest.raises(SignInFailedError):
        sign_in.check_password("alice", "wrong")
    accounts.set_active(alice.id, active=True)
    assert sign_in.check_password("alice", PASSWORD) == alice


def test_signing_in_begins_a_session(identity: Identity, alice: User, services: Services) -> None:
    entry = identity.sign_in.sign_in("alice", PASSWORD, "Firefox on Linux")

    assert not entry.needs_code
    found = identity.sessions.find(entry.secret)
    assert found is not None
    assert found[0] == alice
    assert found[1].device == "Firefox on Linux"
    assert identity.sessions.last_sign_ins().keys() == {alice.id}
    assert actions(services)[-1] == "account.signed_in"


def test_what_was_typed_is_not_recorded(services: Services, sign_in: SignInService) -> None:
    with pytest.raises(SignInFailedError):
        sign_in.sign_in("my secret in the wrong field", "x")

    with services.audit._store._database.reading() as connection:
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            for table in ("audit_events", "attempts")
        ]
    assert "secret" not in str(rows)


# --- hashes of former versions --------------------------------------------------------------


def test_a_hash_of_a_former_cost_is_replaced_at_sign_in(
    accounts: AccountService, sign_in: SignInService, alice: User
) -> None:
    sign_in._checks.passwords._method = "scrypt:128:8:2"

    with pytest.raises(SignInFailedError):
        sign_in.sign_in("alice", "wrong")
    assert accounts.find(alice.id) == alice
    sign_in.sign_in("alice", PASSWORD)

    renewed = accounts.find(alice.id)
    assert renewed is not None
    assert renewed.password_hash.startswith("scrypt:128:8:2$")
    assert sign_in.check_password("alice", PASSWORD) == renewed
    sign_in._checks.passwords._method = "scrypt:128:8:1"


# --- the time that an answer takes ----------------------------------------------------------


def test_each_refusal_hashes_as_much(
    services: Services, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time is hashing, so the work that it is given is what is compared."""
    passwords = PasswordService("scrypt:128:8:3")
    sign_in = services.identity.sign_in
    work: list[int] = []

    def cost_of(method: str) -> int:
        return int(method.partition("$")[0].split(":")[3])

    def check(password_hash: str, password: str) -> bool:
        work.append(cost_of(password_hash))
        return check_password_hash(password_hash, password)

    def make(password: str, method: str) -> str:
        work.append(cost_of(method))
        return generate_password_hash(password, method=method)

    former = services.accounts.find(charlie.id)
    assert former is not None
    assert cost_of(former.password_hash) == 1  # of the cheap service of the tests
    monkeypatch.setattr(passwords_module, "check_password_hash", check)
    monkeypatch.setattr(passwords_module, "generate_password_hash", make)
    monkeypatch.setattr(sign_in._checks.passwords, "_method", passwords._method)
    monkeypatch.setattr(sign_in._checks.passwords, "_nobodys_hash", passwords._nobodys_hash)
    sign_in.check_password("alice", PASSWORD)  # hers is of the present cost from now on
    spent = {}
    for name in ("alice", "charlie", "nobody", "nobody@hospital.org"):
        work.clear()
        with pytest.raises(SignInFailedError):
            sign_in.sign_in(name, "wrong password")
        spent[name] = sum(work)

    assert set(spent.values()) == {3}


def test_an_unknown_name_takes_as_long_as_a_wrong_password_among_ten_thousand_users(
    services: Services, alice: User, clock: MovableClock
) -> None:
    """The hash apart, which the test above holds: what is left is the same within its noise."""
    fill_with_users(services, 10_000)
    sign_in = services.identity.sign_in
    durations_s: dict[str, list[float]] = {"alice": [], "nobody": []}
    for turn in range(24):
        for name in ("alice", "nobody"):
            begin_s = time.thread_time()
            with pytest.raises((SignInFailedError, TooManyAttemptsError)):
                sign_in.sign_in(name, "wrong password")
            if turn > 3:
                durations_s[name].append(time.thread_time() - begin_s)
            clock.move(hours=3)

    known, unknown = median(durations_s["alice"]), median(durations_s["nobody"])
    # To go through ten thousand users for each unknown name would take over 10 ms.
    assert abs(known - unknown) < 0.005


# --- the one-time code ----------------------------------------------------------------------


def test_with_a_second_factor_the_password_alone_opens_nothing(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    entry = identity.sign_in.sign_in("alice", PASSWORD)

    assert entry.needs_code
    assert identity.sessions.find(entry.secret) is None
    assert identity.sessions.last_sign_ins() == {}
    complete = identity.sign_in.enter_code(entry.secret, code_of(seed, clock))

    assert complete.secret != entry.secret
    assert identity.sessions.find(complete.secret) is not None
    with pytest.raises(LinkInvalidError):
        identity.sign_in.enter_code(entry.secret, code_of(seed, clock))


def test_the_code_has_to_come_soon(identity: Identity, alice: User, clock: MovableClock) -> None:
    seed, _ = turn_on(identity, alice, clock)
    entry = identity.sign_in.sign_in("alice", PASSWORD)

    clock.move(minutes=11)

    with pytest.raises(LinkInvalidError):
        identity.sign_in.enter_code(entry.secret, code_of(seed, clock))


def test_codes_cannot_be_guessed_quickly(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    entry = identity.sign_in.sign_in("alice", PASSWORD)
    for _ in range(5):
        with pytest.raises(CodeWrongError):
            identity.sign_in.enter_code(entry.secret, "000000")

    with pytest.raises(TooManyAttemptsError):
        identity.sign_in.enter_code(entry.secret, code_of(seed, clock))


def test_a_half_way_session_ends_with_a_new_password(
    identity: Identity, accounts: AccountService, alice: User, clock: MovableClock
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    entry = identity.sign_in.sign_in("alice", PASSWORD)
    new = "sturdy lantern 42 ahoy"
    accounts.change_password(alice.id, current=PASSWORD, password=new, confirm=new)

    with pytest.raises(LinkInvalidError):
        identity.sign_in.enter_code(entry.secret, code_of(seed, clock))


# --- proving it once more -------------------------------------------------------------------


def test_proof_is_asked_for_after_a_while_and_given_with_the_password(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    secret = identity.sign_in.sign_in("alice", PASSWORD).secret
    clock.move(minutes=16)
    user, session = identity.sessions.find(secret) or (alice, None)
    assert session is not None
    assert not identity.sessions.is_recent(session)

    with pytest.raises(CurrentPasswordWrongError):
        identity.sign_in.prove(user, session, "wrong")
    identity.sign_in.prove(user, session, PASSWORD)

    again = identity.sessions.find(secret)
    assert again is not None
    assert identity.sessions.is_recent(again[1])


def test_proof_takes_the_code_as_well_where_there_is_one(
    identity: Identity, alice: User, clock: MovableClock
) -> None:
    secret = identity.sign_in.sign_in("alice", PASSWORD).secret
    seed, _ = turn_on(identity, alice, clock)
    _, session = identity.sessions.find(secret) or (alice, None)
    assert session is not None

    with pytest.raises(CodeWrongError):
        identity.sign_in.prove(alice, session, PASSWORD)
    identity.sign_in.prove(alice, session, PASSWORD, code_of(seed, clock))


def fill_with_users(services: Services, count: int) -> None:
    """Put users into the accounts file in one go."""
    users = services.accounts._users
    assert isinstance(users, TinyDBUserStore)
    with users.transaction():
        tables = users._storage.read() or {}
        (document,) = tables["users"].values()
        for number in range(count):
            name = f"user{number}"
            fields = document | {"username": name, "email": f"{name}@hospital.org"}
            tables["users"][str(UUID(int=number))] = fields
        users._storage.write(tables)
