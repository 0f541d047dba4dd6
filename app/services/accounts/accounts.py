"""Accounts: changing, administering and deleting them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from app.errors import (
    AccountError,
    EmailTakenError,
    LastAdminError,
    RegistrationRefusedError,
)
from app.records import Role, User
from app.services.accounts.fields import checked_email, checked_mobile
from app.services.accounts.identity import Identity
from app.services.accounts.throttle import REGISTRATIONS
from app.services.audit import AuditService
from app.storage.users import UserStore

CHANGED_SUBJECT = "Your e-mail address at Veriscan was changed"
CHANGED_TEXT = """\
The e-mail address of the Veriscan account {username} was changed; this one is no longer used.

If it was not you, tell the administrator of your server at once.
"""


class AccountService:
    """Finds, changes and deletes accounts.

    Args:
        users: Where the accounts are.
        identity: What lets their users in.
        audit: Where it is recorded who did what.
        forget: Each removes something that belongs to a user; called before the user is removed.
    """

    def __init__(
        self,
        users: UserStore,
        identity: Identity,
        audit: AuditService,
        *,
        forget: Sequence[Callable[[UUID], None]],
    ) -> None:
        self._users = users
        self._identity = identity
        self._mail = identity.mail
        self._audit = audit
        self._forget = forget

    # --- finding ----------------------------------------------------------------------------

    def find(self, user_id: UUID) -> User | None:
        """Return a user, active or not."""
        return self._users.find(user_id)

    def list_users(self) -> list[User]:
        """Return all users by username."""
        return self._users.list()

    def has_admin(self) -> bool:
        """Return whether anybody can administer the system yet."""
        return self._users.count_active_admins() > 0

    # --- changing one's own -----------------------------------------------------------------

    def change_password(self, user_id: UUID, *, current: str, password: str, confirm: str) -> User:
        """Give a user a new password; all their sessions end, and links that set one are void.

        Raises:
            CurrentPasswordWrongError: ``current`` is not the password (field ``current``).
            PasswordTooWeakError: The new one is refused (field ``password``).
            PasswordsDifferError: Its repetition differs (field ``confirm``).
            TooManyAttemptsError: The present one was wrong too often; nothing was looked at.
            NotFoundError: There is no such user.
        """
        user = self._users.get(user_id)
        passwords = self._identity.passwords
        self._identity.sign_in.check_own_password(user, current)
        for error in passwords.refusals(password, confirm, user.username):
            raise error
        password_hash = passwords.hash(password)  # slow, so outside of the lock
        changed = self._change(user_id, lambda user: replace(user, password_hash=password_hash))
        self._identity.sessions.end_all(user_id)
        self._identity.resets.forget(user_id)
        self._audit.record("account.password_changed", actor=user_id, subject=str(user_id))
        return changed

    def change_contact(self, user_id: UUID, *, email: str, mobile: str) -> User:
        """Give a user another e-mail address and mobile number.

        The address before is told, where e-mails can be sent, and what was sent to it opens nothing
        any more. An administrator needs no number.

        Raises:
            RegistrationRefusedError: One or both are refused; it carries the error of each.
            TooManyAttemptsError: Too many were tried of late.
            NotFoundError: There is no such user.
        """
        before = self._users.get(user_id)
        new_email, new_mobile = _checked_contact(before.role, email, mobile)
        # Which addresses are taken can be tried out here as well, and as slowly.
        self._identity.throttle.admit(REGISTRATIONS, before.username, user_id)
        try:
            after = self._change(
                user_id, lambda user: replace(user, email=new_email, mobile=new_mobile)
            )
        except EmailTakenError as error:
            raise RegistrationRefusedError([error]) from error
        self._audit.record("account.contact_changed", actor=user_id, subject=str(user_id))
        if after.email != before.email:
            self._leave_address(before)
        return after

    def _leave_address(self, before: User) -> None:
        """Make links void that were sent to an address, and tell it that it is left."""
        self._identity.resets.forget(before.id)
        if self._mail.is_available:
            text = CHANGED_TEXT.format(username=before.username)
            self._mail.in_background(lambda: self._mail.send(before.email, CHANGED_SUBJECT, text))

    # --- administering ----------------------------------------------------------------------

    def set_active(self, user_id: UUID, *, active: bool, actor: UUID | None = None) -> User:
        """Let a user in, or keep them out, for the administrator ``actor``.

        To let somebody in who waits for approval is to approve them. Who is kept out has no
        session any more, and no token of theirs opens anything.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        was_waiting = self._users.get(user_id).awaits_approval
        user = self._change(
            user_id,
            lambda user: replace(
                user, is_active=active, awaits_approval=user.awaits_approval and not active
            ),
        )
        if not active:
            self._identity.sessions.end_all(user_id)
        action = "account.activated" if active else "account.deactivated"
        if active and was_waiting:
            action = "account.approved"
        self._audit.record(action, actor=actor, subject=str(user_id))
        return user

    def set_role(self, user_id: UUID, role: Role, *, actor: UUID | None = None) -> User:
        """Give a user another role, for the administrator ``actor``.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        user = self._change(user_id, lambda user: replace(user, role=role))
        self._audit.record(
            "account.role_changed", actor=actor, subject=str(user_id), role=role.value
        )
        return user

    def delete(self, user_id: UUID, *, actor: UUID | None = None) -> None:
        """Remove a user with all that is theirs: sessions, tokens, analyses, scans.

        In the audit trail their id stays, which then names nobody.

        The user is kept out first and removed last, so that after a crash in between nothing
        is left that nobody owns, and it can be done again.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        self.set_active(user_id, active=False, actor=actor)
        for forget in self._forget:
            forget(user_id)
        self._users.delete(user_id)
        self._audit.record("account.deleted", actor=actor, subject=str(user_id))

    def _change(self, user_id: UUID, change: Callable[[User], User]) -> User:
        """Change a user, unless nobody could administer the system afterwards.

        The check and the change are one transaction over all processes, so that two
        administrators who give up at once leave one.
        """
        with self._users.transaction():
            before = self._users.get(user_id)
            after = change(before)
            gives_up = administers(before) and not administers(after)
            if gives_up and self._users.count_active_admins() == 1:
                raise LastAdminError
            self._users.replace(after)
        return after


def _checked_contact(role: Role, email: str, mobile: str) -> tuple[str, str]:
    """Return address and number as they are kept.

    Raises:
        RegistrationRefusedError: One or both are refused.
    """
    refused: list[AccountError] = []

    def checked(check: Callable[[str], str], text: str) -> str:
        try:
            return check(text)
        except AccountError as error:
            refused.append(error)
            return ""

    may_be_empty = role is Role.ADMIN and not mobile.strip()
    found = checked(checked_email, email), "" if may_be_empty else checked(checked_mobile, mobile)
    if refused:
        raise RegistrationRefusedError(refused)
    return found


def administers(user: User) -> bool:
    """Return whether a user can administer the system."""
    return user.is_active and user.role is Role.ADMIN
