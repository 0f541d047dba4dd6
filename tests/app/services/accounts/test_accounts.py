from collections.abc import Callable
from threading import Barrier, Thread
from uuid import UUID, uuid4

import pytest

from app.errors import (
    AccountError,
    CurrentPasswordWrongError,
    LastAdminError,
    NotFoundError,
    PasswordsDifferError,
    PasswordTooWeakError,
    RegistrationRefusedError,
    SignInFailedError,
    TooManyAttemptsError,
)
from app.records import Role, User
from app.services.accounts.accounts import AccountService
from app.services.accounts.identity import Identity
from app.services.accounts.throttle import REGISTRATIONS
from app.services.administration.bulk_acts import BulkAct
from app.services.container import Services
from app.storage.database import METADATA
from tests.app.services.accounts.conftest import actions
from tests.app.services.accounts.test_second_factors import turn_on
from tests.app.services.conftest import Register
from tests.factories import png_bytes
from tests.movable_clock import MovableClock
from tests.people import PASSWORD

NEW_PASSWORD = "sturdy lantern 42 ahoy"


def test_a_changed_password_is_the_only_one_that_works(
    accounts: AccountService, identity: Identity, alice: User
) -> None:
    accounts.change_password(
        alice.id, current=PASSWORD, password=NEW_PASSWORD, confirm=NEW_PASSWORD
    )

    assert identity.sign_in.check_password("alice", NEW_PASSWORD).id == alice.id
    with pytest.raises(SignInFailedError):
        identity.sign_in.check_password("alice", PASSWORD)


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
    identity: Identity,
    alice: User,
    current: str,
    password: str,
    confirm: str,
    error: type[AccountError],
) -> None:
    with pytest.raises(error):
        accounts.change_password(alice.id, current=current, password=password, confirm=confirm)

    assert identity.sign_in.check_password("alice", PASSWORD) == alice


GIVING_UP: dict[str, Callable[[AccountService, UUID], object]] = {
    "deactivate": lambda accounts, user_id: accounts.set_active(user_id, active=False),
    "demote": lambda accounts, user_id: accounts.set_role(user_id, Role.REVIEWER),
    "delete": lambda accounts, user_id: accounts.delete(user_id),
}


@pytest.mark.parametrize("give_up", GIVING_UP.values(), ids=GIVING_UP)
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


@pytest.mark.parametrize(
    "ways",
    [
        ("deactivate", "deactivate"),
        ("demote", "delete"),
        ("delete", "deactivate"),
        ("delete", "delete"),
    ],
    ids="-".join,
)
def test_two_admins_who_give_up_at_once_leave_one(
    accounts: AccountService, register: Register, ways: tuple[str, str]
) -> None:
    admins = [accounts.set_role(register(name).id, Role.ADMIN) for name in ("bob", "dora")]
    both_ready = Barrier(2)
    refused: list[LastAdminError] = []

    def give_up(user_id: UUID, way: str) -> None:
        both_ready.wait()
        try:
            GIVING_UP[way](accounts, user_id)
        except LastAdminError as error:
            refused.append(error)

    threads = [
        Thread(target=give_up, args=(admin.id, way))
        for admin, way in zip(admins, ways, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert accounts.has_admin()


@pytest.mark.parametrize("act", [BulkAct.DEACTIVATE, BulkAct.MAKE_REVIEWERS])
def test_two_admins_who_keep_each_other_out_at_once_leave_one(
    services: Services, register: Register, act: BulkAct
) -> None:
    admins = [services.accounts.set_role(register(name).id, Role.ADMIN) for name in ("bob", "dora")]
    one, other = (admin.id for admin in admins)
    bulk_acts = services.administration.bulk_acts
    bulk_acts.change([other], act, actor=one)

    with pytest.raises(LastAdminError):  # the request of the other was let in before
        bulk_acts.change([one], act, actor=other)

    assert services.accounts.find(one) == admins[0]


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
    services.start()
    hers = services.analyses.submit(alice, "lung_ct", png_bytes())
    services.analyses.wait(hers.id, timeout_s=30)
    his = services.analyses.submit(charlie, "lung_ct", png_bytes())
    services.analyses.wait(his.id, timeout_s=30)
    _, secret = services.identity.tokens.create(alice.id, "script")

    services.accounts.delete(alice.id)

    assert services.accounts.find(alice.id) is None
    assert services.identity.tokens.bearer_of(secret) is None
    assert services.identity.tokens.list_of_user(alice.id) == []
    pictures = list((services.settings.data_dir / "images").rglob("*.png"))
    assert {path.name.split(".")[0] for path in pictures} == {his.id.hex}
    with pytest.raises(NotFoundError):
        services.analyses.wait(hers.id, timeout_s=0)


def test_a_deleted_user_is_in_no_table_but_the_audit_trail(
    services: Services, identity: Identity, alice: User, clock: MovableClock
) -> None:
    identity.sign_in.sign_in("alice", PASSWORD)
    turn_on(identity, alice, clock)
    identity.resets.make_link(alice.id, actor=alice.id)
    identity.tokens.create(alice.id, "script")

    services.accounts.delete(alice.id, actor=alice.id)

    found = []
    with identity.throttle._store._database.reading() as connection:
        for table in METADATA.sorted_tables:
            content = str(connection.execute(table.select()).all())
            if str(alice.id) in content or alice.id.hex in content:
                found.append(table.name)
    assert found == ["audit_events"]
    assert actions(services)[-1] == "account.deleted"


def test_a_new_password_ends_all_sessions(
    accounts: AccountService, identity: Identity, alice: User
) -> None:
    secret = identity.sign_in.sign_in("alice", PASSWORD).secret

    accounts.change_password(
        alice.id, current=PASSWORD, password=NEW_PASSWORD, confirm=NEW_PASSWORD
    )

    assert identity.sessions.find(secret) is None


def test_the_present_password_cannot_be_guessed_in_a_session_that_was_left_open(
    accounts: AccountService, alice: User
) -> None:
    for _ in range(5):
        with pytest.raises(CurrentPasswordWrongError):
            accounts.change_password(
                alice.id, current="wrong", password=NEW_PASSWORD, confirm=NEW_PASSWORD
            )

    with pytest.raises(TooManyAttemptsError):
        accounts.change_password(
            alice.id, current=PASSWORD, password=NEW_PASSWORD, confirm=NEW_PASSWORD
        )


def test_address_and_number_can_be_changed(accounts: AccountService, alice: User) -> None:
    changed = accounts.change_contact(alice.id, email="a@clinic.org", mobile="0049 170 1234567")

    assert accounts.find(alice.id) == changed
    assert (changed.email, changed.mobile) == ("a@clinic.org", "+491701234567")


@pytest.mark.parametrize(
    ("email", "mobile", "fields"),
    [
        ("x", "1", ["email", "mobile"]),
        ("", "", ["email", "mobile"]),
        ("CHARLIE@hospital.org", "+49 151 23456789", ["email"]),
    ],
)
def test_details_that_are_refused_change_nothing(
    accounts: AccountService,
    alice: User,
    charlie: User,
    email: str,
    mobile: str,
    fields: list[str],
) -> None:
    with pytest.raises(RegistrationRefusedError) as refusal:
        accounts.change_contact(alice.id, email=email, mobile=mobile)

    assert list(refusal.value.by_field()) == fields
    assert accounts.find(alice.id) == alice


def test_whose_address_is_taken_cannot_be_tried_out_quickly(
    accounts: AccountService, alice: User, charlie: User
) -> None:
    for _ in range(REGISTRATIONS.pair.capacity):
        with pytest.raises(RegistrationRefusedError):
            accounts.change_contact(alice.id, email=charlie.email, mobile=alice.mobile)

    with pytest.raises(TooManyAttemptsError):
        accounts.change_contact(alice.id, email=charlie.email, mobile=alice.mobile)


def test_an_administrator_may_have_no_number(accounts: AccountService, admin: User) -> None:
    assert accounts.change_contact(admin.id, email="r@hospital.org", mobile=" ").mobile == ""
