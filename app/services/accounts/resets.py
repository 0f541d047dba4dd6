"""New passwords for who forgot theirs: a one-time link from an administrator or by e-mail."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from app.errors import MailError
from app.records import LinkPurpose, User
from app.services.accounts.fields import normalised_email
from app.services.accounts.mail import MailService
from app.services.accounts.one_time_links import OneTimeLinks
from app.services.accounts.sessions import SessionService
from app.services.accounts.sign_in import Checks
from app.services.accounts.throttle import MAILS
from app.services.audit import AuditService
from app.storage.users import UserStore

LIFETIME_FROM_ADMIN = timedelta(hours=24)
LIFETIME_BY_EMAIL = timedelta(minutes=30)
PAGE = "/reset-password?link="

SUBJECT = "Set a new password for Veriscan"
TEXT = """\
Somebody, probably you, asked for a new password for the Veriscan account {username}.

Open this address within 30 minutes to set one:

{address}

If it was not you, do nothing: your password stays as it is.
"""


class ResetService:
    """Makes links with which a password is set, and sets it.

    A second factor stays on, so that a mailbox alone opens no account that has one.

    Args:
        users: Where the accounts are.
        links: Makes and checks the links.
        mail: Sends them.
        sessions: Ends those of the old password.
        checks: Judges and hashes passwords, and keeps mailboxes from being filled.
        audit: Where it is recorded who made and used a link.
    """

    def __init__(
        self,
        users: UserStore,
        links: OneTimeLinks,
        mail: MailService,
        sessions: SessionService,
        checks: Checks,
        audit: AuditService,
    ) -> None:
        self._users = users
        self._links = links
        self._mail = mail
        self._sessions = sessions
        self._passwords = checks.passwords
        self._throttle = checks.throttle
        self._audit = audit

    @property
    def can_mail(self) -> bool:
        """Whether a link can be asked for by e-mail."""
        return self._mail.is_available

    def make_link(self, user_id: UUID, *, actor: UUID) -> str:
        """Return the path of a one-time link, good for a day, for an administrator to hand over.

        Links made for this user before are void.

        Raises:
            NotFoundError: There is no such user.
        """
        user = self._users.get(user_id)
        secret = self._make(user, LIFETIME_FROM_ADMIN, actor)
        self._audit.record("account.reset_link_made", actor=actor, subject=str(user_id))
        return f"{PAGE}{secret}"

    def request_by_email(self, email: str) -> None:
        """Send a link, good for half an hour, to this address if it is that of an active account.

        All that depends on whether there is one is done in the background, so that neither the
        answer nor its time tells.

        Raises:
            MailError: No e-mail can be sent from here at all.
            TooManyAttemptsError: Too many were asked for of late.
        """
        if not self._mail.is_available:
            raise MailError
        address = normalised_email(email)
        self._throttle.admit(MAILS, address)
        self._mail.in_background(lambda: self._send_link(address))

    def _send_link(self, email: str) -> None:
        user = self._users.find_by_email(email)
        if user is None or not user.is_active:
            return
        secret = self._make(user, LIFETIME_BY_EMAIL, None)
        address = self._mail.address_of(f"{PAGE}{secret}")
        self._mail.send(user.email, SUBJECT, TEXT.format(username=user.username, address=address))
        self._audit.record("account.reset_link_sent", actor=None, subject=str(user.id))

    def user_of_link(self, secret: str) -> User:
        """Return whose password a link sets.

        Raises:
            LinkInvalidError: It is unknown, used or expired.
        """
        link = self._links.find(LinkPurpose.PASSWORD, secret)
        assert link.user_id is not None  # noqa: S101 - of this purpose all have one
        return self._users.get(link.user_id)

    def set_password(self, secret: str, *, password: str, confirm: str) -> User:
        """Set a new password with a link; all sessions of the user end.

        Raises:
            LinkInvalidError: It is unknown, used or expired.
            PasswordTooWeakError: The password is refused (field ``password``); the link stays good.
            PasswordsDifferError: Its repetition differs (field ``confirm``); likewise.
        """
        link = self._links.find(LinkPurpose.PASSWORD, secret)
        user = self.user_of_link(secret)
        for error in self._passwords.refusals(password, confirm, user.username):
            raise error
        password_hash = self._passwords.hash(password)  # slow, so outside of the lock
        self._links.use(link)
        with self._users.transaction():
            user = replace(self._users.get(user.id), password_hash=password_hash)
            self._users.replace(user)
        self._sessions.end_all(user.id)
        self._audit.record("account.password_reset", actor=user.id, subject=str(user.id))
        return user

    def forget(self, user_id: UUID) -> None:
        """Remove the links of a user who is being deleted."""
        self._links.forget(user_id)

    def _make(self, user: User, lifetime: timedelta, made_by: UUID | None) -> str:
        link, secret = self._links.make(LinkPurpose.PASSWORD, lifetime)
        self._links.keep_for_user(link, user.id, made_by)
        return secret
