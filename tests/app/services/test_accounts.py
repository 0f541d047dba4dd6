from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import UUID, uuid4

import pytest

from app.errors import (
    AccountError,
    AccountInactiveError,
    CurrentPasswordWrongError,
    LastAdminError,
    NotFoundError,
    PasswordsDifferError,
    PasswordTooWeakError,
    RegistrationRefusedError,
    SignInFailedError,
    TokenNameInvalidError,
)
from app.records import Role, User
from app.services import accounts as accounts_module
from app.services.accounts import AccountService
from app.services.container import Services
from tests.app.services.conftest import PASSWORD, Register
from tests.factories import png_bytes

NEW_PASSWORD = "sturdy lantern 42 ahoy"
FORM = {
    "username": "alice",
    "email": "alice@hospital.org",
    "mobile": "+49 151 23456789",
    "password": PASSWORD,
    "confirm": PASSWORD,
}


def test_who_registers_is_an_active_clinician(accounts: AccountService) -> None:
    user = accounts.register(**FORM)

    assert user.role is Role.CLINICIAN
    assert user.is_active
    assert user.mobile == "+4915123456789"
    assert user.created.tzinfo is UTC
    assert PASSWORD not in user.password_hash
    assert accounts.find(user.id) == user
    assert accounts.list_users() == [user]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("username", "1", "3 to 32 letters"),
        ("email", "alice", "not an e-mail address"),
        ("mobile", "", "not a mobile number"),
        ("mobile", "0151 23456789", "country code"),
        ("confirm", "something else", "two passwords differ"),
    ],
)
def test_a_field_that_is_refused_says_why(
    accounts: AccountService, field: str, value: str, message: str
) -> None:
    with pytest.raises(RegistrationRefusedError, match=message) as refusal:
        accounts.register(**(FORM | {field: value}))

    assert list(refusal.value.by_field()) == [field]
    assert accounts.list_users() == []


def test_all_fields_that_are_refused_are_told_at_once(accounts: AccountService) -> None:
    with pytest.raises(RegistrationRefusedError) as refusal:
        accounts.register(username="", email="", mobile="", password="", confirm="x")

    assert list(refusal.value.by_field()) == ["username", "email", "mobile", "password", "confirm"]


def test_a_name_or_address_that_is_taken_is_told_together_with_the_rest(
    accounts: AccountService, alice: User
) -> None:
    with pytest.raises(RegistrationRefusedError) as refusal:
        accounts.register(**(FORM | {"username": "ALICE", "mobile": "1"}))

    assert refusal.value.by_field() == {
        "username": ["This username is taken. Choose another."],
        "email": ["An account with this e-mail address exists. Sign in instead."],
        "mobile": ["This is not a mobile number. Give it with the country code: +49 151 23456789"],
    }
    assert accounts.list_users() == [alice]


def test_two_who_register_one_name_at_once_get_one_account(accounts: AccountService) -> None:
    both_ready = Barrier(2)
    refused: list[RegistrationRefusedError] = []

    def register(email: str) -> None:
        both_ready.wait()
        try:
            accounts.register(**(FORM | {"email": email}))
        except RegistrationRefusedError as error:
            refused.append(error)

    threads = [Thread(target=register, args=(f"{n}@hospital.org",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [error.by_field().keys() for error in refused] == [{"username": None}.keys()]
    assert len(accounts.list_users()) == 1


@pytest.mark.parametrize(
    "name", ["alice", "ALICE", " alice ", "alice@hospital.org", "Alice@HOSPITAL.org"]
)
def test_a_user_signs_in_with_name_or_address(
    accounts: AccountService, alice: User, name: str
) -> None:
    assert accounts.sign_in(name, PASSWORD) == alice


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
    accounts: AccountService, alice: User, name: str, password: str
) -> None:
    with pytest.raises(SignInFailedError, match="The username or the password is wrong"):
        accounts.sign_in(name, password)


def test_only_the_right_password_tells_that_an_account_is_deactivated(
    accounts: AccountService, alice: User
) -> None:
    accounts.set_active(alice.id, active=False)

    with pytest.raises(AccountInactiveError):
        accounts.sign_in("alice", PASSWORD)
    with pytest.raises(SignInFailedError):
        accounts.sign_in("alice", "wrong")
    accounts.set_active(alice.id, active=True)
    assert accounts.sign_in("alice", PASSWORD) == alice


def test_a_changed_password_is_the_only_one_that_works(
    accounts: AccountService, alice: User
) -> None:
    accounts.change_password(
        alice.id, current=PASSWORD, password=NEW_PASSWORD, confirm=NEW_PASSWORD
    )

    assert accounts.sign_in("alice", NEW_PASSWORD).id == alice.id
    with pytest.raises(SignInFailedError):
        accounts.sign_in("alice", PASSWORD)


@pytest.mark.parametrize(
    ("current", "password", "confirm", "error"),
    [
        ("wrong", NEW_PASSWORD, NEW_PASSWORD, CurrentPasswordWrongError),
        (PASSWORD, "short", "short", PasswordTooWeakError),
        (PASSWORD, NEW_PASSWORD, PASSWORD, PasswordsDifferError),
    ],
)
def test_a_password_change_that_is_refused_changes_nothing(
    accounts: AccountService,
    alice: User,
    current: str,
    password: str,
    confirm: str,
    error: type[AccountError],
) -> None:
    with pytest.raises(error):
        accounts.change_password(alice.id, current=current, password=password, confirm=confirm)

    assert accounts.sign_in("alice", PASSWORD) == alice


def test_an_admin_needs_no_mobile_number_but_a_right_one(accounts: AccountService) -> None:
    assert not accounts.has_admin()

    admin = accounts.create_admin(
        username="root", email="root@hospital.org", mobile="", password=PASSWORD
    )

    assert admin.role is Role.ADMIN
    assert accounts.has_admin()
    with pytest.raises(RegistrationRefusedError, match="not a mobile number"):
        accounts.create_admin(
            username="second", email="second@hospital.org", mobile="1", password=PASSWORD
        )


@pytest.mark.parametrize(
    "give_up",
    [
        lambda accounts, user_id: accounts.set_active(user_id, active=False),
        lambda accounts, user_id: accounts.set_role(user_id, Role.CLINICIAN),
        lambda accounts, user_id: accounts.delete(user_id),
    ],
    ids=["deactivate", "demote", "delete"],
)
def test_the_last_admin_stays(
    accounts: AccountService,
    register: Register,
    admin: User,
    give_up: Callable[[AccountService, UUID], object],
) -> None:
    second = accounts.set_role(register("bob").id, Role.ADMIN)
    accounts.set_active(second.id, active=False)  # one that is deactivated does not count

    with pytest.raises(LastAdminError):
        give_up(accounts, admin.id)
    assert accounts.find(admin.id) == admin

    accounts.set_active(second.id, active=True)
    give_up(accounts, admin.id)
    assert accounts.has_admin()


def test_two_admins_who_give_up_at_once_leave_one(
    accounts: AccountService, register: Register
) -> None:
    admins = [accounts.set_role(register(name).id, Role.ADMIN) for name in ("bob", "dora")]
    both_ready = Barrier(2)
    refused: list[LastAdminError] = []

    def give_up(user_id: UUID) -> None:
        both_ready.wait()
        try:
            accounts.set_active(user_id, active=False)
        except LastAdminError as error:
            refused.append(error)

    threads = [Thread(target=give_up, args=(admin.id,)) for admin in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert accounts.has_admin()


def test_what_an_admin_is_already_can_be_said_again(accounts: AccountService, admin: User) -> None:
    assert accounts.set_role(admin.id, Role.ADMIN) == admin
    assert accounts.set_active(admin.id, active=True) == admin


def test_a_user_who_does_not_exist_cannot_be_changed(accounts: AccountService) -> None:
    nobody = uuid4()

    assert accounts.find(nobody) is None
    with pytest.raises(NotFoundError):
        accounts.set_active(nobody, active=True)
    with pytest.raises(NotFoundError):
        accounts.set_role(nobody, Role.ADMIN)
    with pytest.raises(NotFoundError):
        accounts.delete(nobody)


def test_a_deleted_user_leaves_nothing_behind(
    services: Services, alice: User, charlie: User
) -> None:
    hers = services.analyses.submit(alice, "lung_ct", png_bytes())
    services.analyses.wait(hers.id, timeout_s=30)
    his = services.analyses.submit(charlie, "lung_ct", png_bytes())
    services.analyses.wait(his.id, timeout_s=30)
    _, secret = services.accounts.create_token(alice.id, "script")

    services.accounts.delete(alice.id)

    assert services.accounts.find(alice.id) is None
    assert services.accounts.user_of_token(secret) is None
    assert services.accounts.list_tokens(alice.id) == []
    pictures = list((services.settings.data_dir / "images").rglob("*.png"))
    assert {path.name.split(".")[0] for path in pictures} == {his.id.hex}
    with pytest.raises(NotFoundError):
        services.analyses.wait(hers.id, timeout_s=0)


def test_a_token_speaks_for_its_user(accounts: AccountService, alice: User) -> None:
    token, secret = accounts.create_token(alice.id, " night script ")

    assert token.name == "night script"
    assert secret.startswith("veriscan_")
    assert secret not in repr(token)
    assert accounts.user_of_token(secret) == alice
    assert [t.id for t in accounts.list_tokens(alice.id)] == [token.id]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "two\nlines"])
def test_a_token_needs_a_name(accounts: AccountService, alice: User, name: str) -> None:
    with pytest.raises(TokenNameInvalidError):
        accounts.create_token(alice.id, name)


@pytest.mark.parametrize("secret", ["", "veriscan_", "veriscan_guess", "\ud800", "x" * 10_000])
def test_a_guess_speaks_for_nobody(accounts: AccountService, alice: User, secret: str) -> None:
    accounts.create_token(alice.id, "script")

    assert accounts.user_of_token(secret) is None


def test_a_revoked_token_speaks_for_nobody(accounts: AccountService, alice: User) -> None:
    token, secret = accounts.create_token(alice.id, "script")

    accounts.revoke_token(alice.id, token.id)

    assert accounts.user_of_token(secret) is None
    with pytest.raises(NotFoundError):
        accounts.revoke_token(alice.id, token.id)


def test_nobody_can_revoke_anothers_token(
    accounts: AccountService, alice: User, charlie: User
) -> None:
    token, secret = accounts.create_token(alice.id, "script")

    with pytest.raises(NotFoundError):
        accounts.revoke_token(charlie.id, token.id)
    assert accounts.user_of_token(secret) == alice


def test_the_token_of_a_deactivated_user_speaks_for_nobody(
    accounts: AccountService, alice: User
) -> None:
    _, secret = accounts.create_token(alice.id, "script")

    accounts.set_active(alice.id, active=False)

    assert accounts.user_of_token(secret) is None


def test_the_last_use_of_a_token_is_written_once_a_minute_at_most(
    accounts: AccountService, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = accounts.create_token(alice.id, "script")

    def last_use() -> datetime:
        accounts.user_of_token(secret)
        used = accounts.list_tokens(alice.id)[0].last_used
        assert used is not None
        return used

    first = last_use()
    assert last_use() == first

    monkeypatch.setattr(accounts_module, "TOUCH_INTERVAL", timedelta(0))
    assert last_use() > first
