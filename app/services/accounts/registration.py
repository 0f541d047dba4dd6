"""Registration: who may make an account, and what it takes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from app.errors import (
    AccountError,
    EmailTakenError,
    InvitedEmailError,
    RegistrationClosedError,
    RegistrationRefusedError,
    StorageError,
    UsernameTakenError,
)
from app.records import OneTimeLink, Role, User
from app.services.accounts.fields import checked_email, checked_mobile, checked_username
from app.services.accounts.invitations import InvitationService
from app.services.accounts.passwords import PasswordService
from app.services.accounts.throttle import REGISTRATIONS, Throttle
from app.services.audit import AuditService
from app.services.clock import utc_now
from app.services.site_settings import RegistrationMode, SiteSettingsService
from app.storage.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What a person typed to get an account."""

    username: str
    email: str
    mobile: str
    password: str
    confirm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorkeeping:
    """What decides whether somebody may register at all."""

    site_settings: SiteSettingsService
    invitations: InvitationService
    throttle: Throttle


class RegistrationService:
    """Makes accounts.

    Args:
        users: Where they are.
        passwords: How passwords are judged and hashed.
        door: Decides who may register.
        audit: Where it is recorded that an account was made.
    """

    def __init__(
        self,
        users: UserStore,
        passwords: PasswordService,
        door: Doorkeeping,
        audit: AuditService,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._door = door
        self._audit = audit

    def mode(self) -> RegistrationMode:
        """Return who may register now."""
        return self._door.site_settings.get().registration

    def invitation(self, secret: str) -> OneTimeLink | None:
        """Return the invitation that lets somebody register; None where none is needed.

        Args:
            secret: Of its link; empty where there was none.

        Raises:
            RegistrationClosedError: Nobody may register, or only with an invitation.
            LinkInvalidError: The invitation is unknown, used, expired or withdrawn.
        """
        mode = self.mode()
        if mode is RegistrationMode.CLOSED or (mode is RegistrationMode.INVITATION and not secret):
            raise RegistrationClosedError
        return self._door.invitations.find(secret) if secret else None

    def register(self, application: Application, invitation_secret: str = "") -> User:
        """Make an account; without an invitation it is a clinician's.

        It is not active yet where accounts need approval, unless there is an invitation.

        Raises:
            RegistrationRefusedError: One or more fields are refused; it carries the error of each.
            RegistrationClosedError: Nobody may register, or only with an invitation.
            LinkInvalidError: The invitation is unknown, used, expired or withdrawn.
            TooManyAttemptsError: Too many were made from this address of late.
        """
        invitation = self.invitation(invitation_secret)
        # Which names are taken can be tried out here, but not quickly.
        attempt = self._door.throttle.admit(REGISTRATIONS, application.username.strip())
        if invitation is None:
            waits = self.mode() is RegistrationMode.APPROVAL
            user = self._make(application, Role.CLINICIAN, awaits_approval=waits)
        else:
            user = self._make_invited(application, invitation)
        if user.is_active:
            self._door.throttle.take_back(attempt)
        return user

    def create_admin(self, *, username: str, email: str, mobile: str, password: str) -> User:
        """Make an administrator's account on the machine itself; ``mobile`` may be empty.

        Raises:
            RegistrationRefusedError: As in ``register``.
        """
        application = Application(
            username=username, email=email, mobile=mobile, password=password, confirm=password
        )
        return self._make(application, Role.ADMIN)

    def _make_invited(self, application: Application, invitation: OneTimeLink) -> User:
        typed = application.email.strip().casefold()
        if invitation.email and typed != invitation.email.casefold():
            raise RegistrationRefusedError([InvitedEmailError()])
        self._door.invitations.accept(invitation)
        try:
            return self._make(application, invitation.role)
        except BaseException:
            self._door.invitations.give_back(invitation)
            raise

    def _make(self, application: Application, role: Role, *, awaits_approval: bool = False) -> User:
        needs_mobile = role is not Role.ADMIN
        username, email, mobile = self._checked(application, needs_mobile=needs_mobile)
        user = User(
            id=uuid4(),
            username=username,
            email=email,
            mobile=mobile,
            password_hash=self._passwords.hash(application.password),
            role=role,
            is_active=not awaits_approval,
            created=utc_now(),
            awaits_approval=awaits_approval,
        )
        try:
            self._users.add(user)
        except (UsernameTakenError, EmailTakenError) as error:  # somebody was quicker
            raise RegistrationRefusedError([error]) from error
        try:
            self._audit.record(
                "account.created", actor=user.id, subject=str(user.id), role=user.role.value
            )
        except BaseException:  # who is told that it failed must be able to do it again
            with suppress(StorageError):
                self._users.delete(user.id)
            raise
        return user

    def _checked(self, application: Application, *, needs_mobile: bool) -> tuple[str, str, str]:
        """Return username, address and number as they are kept.

        Raises:
            RegistrationRefusedError: A field or the password is refused.
        """
        refused: list[AccountError] = []

        def checked(check: Callable[[str], str], text: str) -> str:
            try:
                return check(text)
            except AccountError as error:
                refused.append(error)
                return ""

        username = checked(self._free_username, application.username)
        email = checked(self._free_email, application.email)
        has_mobile = bool(application.mobile) or needs_mobile
        mobile = checked(checked_mobile, application.mobile) if has_mobile else ""
        refused.extend(
            self._passwords.refusals(application.password, application.confirm, username)
        )
        if refused:
            raise RegistrationRefusedError(refused)
        return username, email, mobile

    def _free_username(self, text: str) -> str:
        username = checked_username(text)
        if self._users.find_by_username(username):
            raise UsernameTakenError
        return username

    def _free_email(self, text: str) -> str:
        email = checked_email(text)
        if self._users.find_by_email(email):
            raise EmailTakenError
        return email
