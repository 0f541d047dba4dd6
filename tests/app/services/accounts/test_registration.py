from datetime import UTC
from threading import Barrier, Thread

import pytest

from app.errors import (
    AwaitsApprovalError,
    InvitedEmailError,
    LinkInvalidError,
    RegistrationClosedError,
    RegistrationRefusedError,
    StorageError,
    TooManyAttemptsError,
)
from app.records import Role, User
from app.services.accounts.accounts import AccountService
from app.services.accounts.identity import Identity
from app.services.accounts.registration import Application, RegistrationService
from app.services.container import Services
from tests.app.services.accounts.conftest import actions
from tests.movable_clock import MovableClock
from tests.people import PASSWORD, application_of


@pytest.fixture
def registration(identity: Identity) -> RegistrationService:
    return identity.registration


def set_mode(services: Services, mode: str) -> None:
    services.site_settings.change({"registration": mode}, actor=None)


def test_who_registers_is_an_active_clinician(
    registration: RegistrationService, accounts: AccountService
) -> None:
    user = registration.register(application_of("alice"))

    assert user.role is Role.CLINICIAN
    assert user.is_active
    assert user.mobile == "+4915123456789"
    assert user.created.tzinfo is UTC
    assert PASSWORD not in user.password_hash
    assert accounts.find(user.id) == user
    assert accounts.list_users() == [user]


def test_who_is_told_that_it_failed_has_no_account_and_can_try_again(
    registration: RegistrationService, accounts: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("app.storage.audit_anchor.AnchorFile.write", fail)
        with pytest.raises(StorageError, match="full"):
            registration.register(application_of("alice"))
    assert accounts.list_users() == []

    assert registration.register(application_of("alice")).username == "alice"


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
    registration: RegistrationService,
    accounts: AccountService,
    field: str,
    value: str,
    message: str,
) -> None:
    with pytest.raises(RegistrationRefusedError, match=message) as refusal:
        registration.register(application_of("alice", **{field: value}))

    assert list(refusal.value.by_field()) == [field]
    assert accounts.list_users() == []


def test_all_fields_that_are_refused_are_told_at_once(
    registration: RegistrationService, accounts: AccountService
) -> None:
    with pytest.raises(RegistrationRefusedError) as refusal:
        registration.register(
            Application(username="", email="", mobile="", password="", confirm="x")
        )

    assert list(refusal.value.by_field()) == ["username", "email", "mobile", "password", "confirm"]


def test_a_name_or_address_that_is_taken_is_told_together_with_the_rest(
    registration: RegistrationService, accounts: AccountService, alice: User
) -> None:
    with pytest.raises(RegistrationRefusedError) as refusal:
        registration.register(application_of("alice", username="ALICE", mobile="1"))

    assert refusal.value.by_field() == {
        "username": ["This username is taken. Choose another."],
        "email": ["An account with this e-mail address exists. Sign in instead."],
        "mobile": ["This is not a mobile number. Give it with the country code: +49 151 23456789"],
    }
    assert accounts.list_users() == [alice]


def test_two_who_register_one_name_at_once_get_one_account(
    registration: RegistrationService, accounts: AccountService
) -> None:
    both_ready = Barrier(2)
    refused: list[RegistrationRefusedError] = []

    def register(email: str) -> None:
        both_ready.wait()
        try:
            registration.register(application_of("alice", email=email))
        except RegistrationRefusedError as error:
            refused.append(error)

    threads = [Thread(target=register, args=(f"{n}@hospital.org",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [error.by_field().keys() for error in refused] == [{"username": None}.keys()]
    assert len(accounts.list_users()) == 1


def test_an_admin_needs_no_mobile_number_but_a_right_one(
    registration: RegistrationService, accounts: AccountService
) -> None:
    assert not accounts.has_admin()

    admin = registration.create_admin(
        username="root", email="root@hospital.org", mobile="", password=PASSWORD
    )

    assert admin.role is Role.ADMIN
    assert accounts.has_admin()
    with pytest.raises(RegistrationRefusedError, match="not a mobile number"):
        registration.create_admin(
            username="second", email="second@hospital.org", mobile="1", password=PASSWORD
        )


# --- who may register -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["invitation", "closed"])
def test_nobody_registers_uninvited_where_registration_is_not_open(
    services: Services, registration: RegistrationService, mode: str
) -> None:
    set_mode(services, mode)

    with pytest.raises(RegistrationClosedError):
        registration.register(application_of("alice"))
    assert services.accounts.list_users() == []


def test_who_registers_waits_for_approval_where_that_is_asked_for(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    set_mode(services, "approval")

    user = registration.register(application_of("alice"))

    assert user.awaits_approval
    assert not user.is_active
    with pytest.raises(AwaitsApprovalError):
        services.identity.sign_in.sign_in("alice", PASSWORD)
    approved = services.accounts.set_active(user.id, active=True, actor=admin.id)
    assert not approved.awaits_approval
    assert services.identity.sign_in.check_password("alice", PASSWORD) == approved
    assert "account.approved" in actions(services)


def test_an_invitation_makes_one_account_of_its_role(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    set_mode(services, "invitation")
    link, secret = services.identity.invitations.invite(actor=admin.id, role=Role.REVIEWER)

    user = registration.register(application_of("alice"), secret)

    assert user.role is Role.REVIEWER
    assert user.is_active
    with pytest.raises(LinkInvalidError):
        registration.register(application_of("bob"), secret)
    (kept,) = services.identity.invitations.list_all()
    assert (kept.id, kept.used is not None) == (link.id, True)
    assert secret not in repr(kept)


def test_an_invitation_for_an_address_is_good_for_no_other(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    _, secret = services.identity.invitations.invite(actor=admin.id, email="Grace@Hospital.org")

    with pytest.raises(RegistrationRefusedError) as refusal:
        registration.register(application_of("alice"), secret)
    assert isinstance(refusal.value.errors[0], InvitedEmailError)

    assert registration.register(application_of("grace"), secret).username == "grace"


def test_an_invitation_stays_good_where_the_form_was_refused(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    _, secret = services.identity.invitations.invite(actor=admin.id)

    with pytest.raises(RegistrationRefusedError):
        registration.register(application_of("alice", password="short"), secret)

    assert registration.register(application_of("alice"), secret).is_active


def test_an_invitation_expires_and_can_be_withdrawn(
    services: Services, registration: RegistrationService, admin: User, clock: MovableClock
) -> None:
    invitations = services.identity.invitations
    _, expired = invitations.invite(actor=admin.id)
    clock.move(days=7)
    link, withdrawn = invitations.invite(actor=admin.id)
    invitations.withdraw(link.id, actor=admin.id)

    for secret in (expired, withdrawn, "guess"):
        with pytest.raises(LinkInvalidError):
            registration.register(application_of("alice"), secret)


def test_an_invitation_used_twice_at_once_makes_one_account(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    _, secret = services.identity.invitations.invite(actor=admin.id, role=Role.ADMIN)
    both_ready, refused = Barrier(2), []

    def register(name: str) -> None:
        both_ready.wait()
        try:
            registration.register(application_of(name), secret)
        except LinkInvalidError as error:
            refused.append(error)

    threads = [Thread(target=register, args=(name,)) for name in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert len(services.accounts.list_users()) == 2  # the admin and one more


def test_no_invitation_opens_a_closed_registration(
    services: Services, registration: RegistrationService, admin: User
) -> None:
    _, secret = services.identity.invitations.invite(actor=admin.id)
    set_mode(services, "closed")

    with pytest.raises(RegistrationClosedError):
        registration.register(application_of("alice"), secret)


def test_names_cannot_be_tried_out_quickly(
    registration: RegistrationService, alice: User, clock: MovableClock
) -> None:
    def tries() -> int:
        for count in range(1000):
            try:
                registration.register(application_of(f"name{count}", mobile="1"))
            except TooManyAttemptsError:
                return count
            except RegistrationRefusedError:
                pass
        return 1000

    assert tries() == 60
    clock.move(minutes=5)
    assert tries() == 10
