"""Signing in: the password, the one-time code, and proving once more who one is."""

from dataclasses import dataclass, replace
from uuid import UUID

from app.errors import (
    AccountInactiveError,
    AwaitsApprovalError,
    CodeWrongError,
    CurrentPasswordWrongError,
    LinkInvalidError,
    SignInFailedError,
)
from app.records import Session, User
from app.services.accounts.fields import normalised_email
from app.services.accounts.passwords import PasswordService
from app.services.accounts.second_factors import SecondFactorService
from app.services.accounts.sessions import SessionService
from app.services.accounts.throttle import CODES, PASSWORDS, Throttle
from app.services.audit import AuditService
from app.storage.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What proves who somebody is, and what keeps others from guessing it."""

    passwords: PasswordService
    second_factors: SecondFactorService
    throttle: Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What a right password leads to.

    Attributes:
        secret: Of the session that has begun, for the browser's cookie.
        needs_code: The session opens nothing until a one-time code has come as well.
    """

    user: User
    secret: str
    needs_code: bool


class SignInService:
    """Lets people in.

    Args:
        users: Where the accounts are.
        sessions: Begins their sessions.
        checks: What they have to prove.
        audit: Where it is recorded who came in and who did not.
    """

    def __init__(
        self, users: UserStore, sessions: SessionService, checks: Checks, audit: AuditService
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._checks = checks
        self._audit = audit

    def sign_in(self, name: str, password: str, device: str = "") -> SignIn:
        """Begin a session for the user with this name or address and password.

        Args:
            name: Username or e-mail address.
            password: As typed.
            device: Browser and system in plain words.

        Raises:
            SignInFailedError: There is no such user or password. The message does not say which
                of the two is wrong, nor does the time that the answer takes.
            TooManyAttemptsError: Too many were wrong of late; this one was not looked at.
            AccountInactiveError: The password is right, but the account is deactivated.
            AwaitsApprovalError: The password is right, but nobody has approved the account yet.
        """
        user = self.check_password(name, password)
        needs_code = self._checks.second_factors.is_on(user.id)
        secret = self._sessions.begin(user.id, device, is_complete=not needs_code)
        if not needs_code:
            self._let_in(user, "password")
        return SignIn(user=user, secret=secret, needs_code=needs_code)

    def check_password(self, name: str, password: str) -> User:
        """Return the active user with this name or address and password.

        Raises:
            AccountError: As in ``sign_in``.
        """
        user = self._find(name)
        attempt = self._checks.throttle.admit(PASSWORDS, name.strip(), user.id if user else None)
        if not self._checks.passwords.is_right(password, user.password_hash if user else None):
            # What was typed is not recorded: it may be a password in the wrong field.
            self._refuse(user, "password")
            raise SignInFailedError
        assert user is not None  # noqa: S101 - without a user no password is right
        self._checks.throttle.take_back(attempt)
        if user.awaits_approval:
            self._refuse(user, "awaits approval")
            raise AwaitsApprovalError
        if not user.is_active:
            self._refuse(user, "deactivated")
            raise AccountInactiveError
        return self._with_present_hash(user, password)

    def enter_code(self, half_way: str, code: str, device: str = "") -> SignIn:
        """Begin a session for who gave the right password before, now with a one-time code.

        Args:
            half_way: Secret of the session that the password has begun; it ends here.
            code: As typed; a recovery code will do.
            device: Browser and system in plain words.

        Raises:
            LinkInvalidError: The password was not given, or too long ago.
            CodeWrongError: The code is wrong or was taken before.
            TooManyAttemptsError: Too many were wrong of late; this one was not looked at.
        """
        user = self._sessions.find_half_way(half_way)
        if user is None:
            raise LinkInvalidError
        self._check_code(user, code)
        self._sessions.end(half_way)
        secret = self._sessions.begin(user.id, device)
        self._let_in(user, "code")
        return SignIn(user=user, secret=secret, needs_code=False)

    def begin_session_of(self, user: User, device: str) -> str:
        """Begin a session for who has just made an account or set a new password."""
        return self._sessions.begin(user.id, device)

    def prove(self, user: User, session: Session, password: str, code: str = "") -> None:
        """Let somebody who is signed in prove once more who they are.

        Args:
            user: Who they are.
            session: In which they do so; dangerous acts are open in it for a while.
            password: As typed.
            code: As typed; looked at only where the second factor is on.

        Raises:
            CurrentPasswordWrongError: The password is wrong.
            CodeWrongError: The code is wrong or was taken before.
            TooManyAttemptsError: Too many were wrong of late; this one was not looked at.
        """
        self.check_own_password(user, password)
        if self._checks.second_factors.is_on(user.id):
            self._check_code(user, code)
        self._sessions.note_proof(session)

    def check_own_password(self, user: User, password: str) -> None:
        """Check the password of somebody who is signed in.

        Raises:
            CurrentPasswordWrongError: It is wrong.
            TooManyAttemptsError: Too many were wrong of late; this one was not looked at.
        """
        attempt = self._checks.throttle.admit(PASSWORDS, user.username, user.id)
        if not self._checks.passwords.is_right(password, user.password_hash):
            self._refuse(user, "password")
            raise CurrentPasswordWrongError
        self._checks.throttle.take_back(attempt)

    def _check_code(self, user: User, code: str) -> None:
        attempt = self._checks.throttle.admit(CODES, user.username, user.id)
        try:
            self._checks.second_factors.check(user.id, code)
        except CodeWrongError:
            self._refuse(user, "code")
            raise
        self._checks.throttle.take_back(attempt)

    def _find(self, name: str) -> User | None:
        name = name.strip()
        if "@" in name:  # no username holds one
            return self._users.find_by_email(normalised_email(name))
        return self._users.find_by_username(name)

    def _with_present_hash(self, user: User, password: str) -> User:
        """Hash a password anew if its hash is of a former method or cost."""
        if not self._checks.passwords.is_outdated(user.password_hash):
            return user
        password_hash = self._checks.passwords.hash(password)  # slow, so outside of the lock
        with self._users.transaction():
            current = self._users.get(user.id)
            if current.password_hash != user.password_hash:  # changed in the meantime
                return current
            renewed = replace(current, password_hash=password_hash)
            self._users.replace(renewed)
        return renewed

    def _let_in(self, user: User, proof: str) -> None:
        self._checks.throttle.know(user.id)
        self._audit.record("account.signed_in", actor=user.id, subject=str(user.id), proof=proof)

    def _refuse(self, user: User | None, reason: str) -> None:
        subject: UUID | str = user.id if user else ""
        self._audit.record(
            "account.sign_in_failed", actor=None, subject=str(subject), reason=reason
        )
