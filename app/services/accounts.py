"""Accounts: who may register, sign in, administer and use the API."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from app.errors import (
    AccountError,
    AccountInactiveError,
    CurrentPasswordWrongError,
    EmailTakenError,
    LastAdminError,
    PasswordsDifferError,
    RegistrationRefusedError,
    SignInFailedError,
    UsernameTakenError,
)
from app.records import ApiToken, Role, User
from app.services.account_fields import (
    checked_email,
    checked_mobile,
    checked_username,
    normalised_email,
)
from app.services.api_tokens import digest_of, new_token
from app.services.passwords import PasswordService
from app.storage.tokens import TokenStore
from app.storage.users import UserStore

TOUCH_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registration:
    """What a person typed to get an account."""

    username: str
    email: str
    mobile: str
    password: str
    confirm: str


class AccountService:
    """Makes, checks and changes accounts and their API tokens.

    Args:
        users: Where the accounts are.
        tokens: Where the API tokens are.
        passwords: How passwords are judged and hashed.
        forget: Removes what a user has uploaded; called before the user is removed.
    """

    def __init__(
        self,
        users: UserStore,
        tokens: TokenStore,
        passwords: PasswordService,
        *,
        forget: Callable[[UUID], None],
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._passwords = passwords
        self._forget = forget

    # --- making accounts --------------------------------------------------------------------

    def register(
        self, *, username: str, email: str, mobile: str, password: str, confirm: str
    ) -> User:
        """Make a clinician's account.

        Raises:
            RegistrationRefusedError: One or more fields are refused; it carries the error of each.
        """
        form = _Registration(
            username=username, email=email, mobile=mobile, password=password, confirm=confirm
        )
        return self._make(form, Role.CLINICIAN)

    def create_admin(self, *, username: str, email: str, mobile: str, password: str) -> User:
        """Make an administrator's account; ``mobile`` may be empty.

        Raises:
            RegistrationRefusedError: As in ``register``.
        """
        form = _Registration(
            username=username, email=email, mobile=mobile, password=password, confirm=password
        )
        return self._make(form, Role.ADMIN)

    def _make(self, form: _Registration, role: Role) -> User:
        refused: list[AccountError] = []

        def checked(check: Callable[[str], str], text: str) -> str:
            try:
                return check(text)
            except AccountError as error:
                refused.append(error)
                return ""

        username = checked(self._free_username, form.username)
        email = checked(self._free_email, form.email)
        mobile = checked(checked_mobile, form.mobile) if form.mobile or role != Role.ADMIN else ""
        refused.extend(self._password_refusals(form.password, form.confirm, username))
        if refused:
            raise RegistrationRefusedError(refused)
        user = User(
            id=uuid4(),
            username=username,
            email=email,
            mobile=mobile,
            password_hash=self._passwords.hash(form.password),
            role=role,
            is_active=True,
            created=datetime.now(UTC),
        )
        try:
            self._users.add(user)
        except (UsernameTakenError, EmailTakenError) as error:  # somebody was quicker
            raise RegistrationRefusedError([error]) from error
        return user

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

    def _password_refusals(self, password: str, confirm: str, username: str) -> list[AccountError]:
        refused: list[AccountError] = []
        try:
            self._passwords.check_strength(password, username)
        except AccountError as error:
            refused.append(error)
        if password != confirm:
            refused.append(PasswordsDifferError())
        return refused

    # --- using accounts ---------------------------------------------------------------------

    def sign_in(self, username_or_email: str, password: str) -> User:
        """Return the user with this name or address and password.

        Raises:
            SignInFailedError: There is none. The message does not say which of the two is wrong,
                nor does the time that the answer takes.
            AccountInactiveError: The password is right, but the account is deactivated.
        """
        name = username_or_email.strip()
        user = (  # no username holds an @
            self._users.find_by_email(normalised_email(name))
            if "@" in name
            else self._users.find_by_username(name)
        )
        if not self._passwords.is_right(password, user.password_hash if user else None):
            raise SignInFailedError
        assert user is not None  # noqa: S101 - without a user no password is right
        if not user.is_active:
            raise AccountInactiveError
        return user

    def find(self, user_id: UUID) -> User | None:
        """Return a user, active or not."""
        return self._users.find(user_id)

    def list_users(self) -> list[User]:
        """Return all users by username."""
        return self._users.list()

    def has_admin(self) -> bool:
        """Return whether anybody can administer the system yet."""
        return self._users.count_active_admins() > 0

    def change_password(self, user_id: UUID, *, current: str, password: str, confirm: str) -> User:
        """Give a user a new password.

        Raises:
            CurrentPasswordWrongError: ``current`` is not the password (field ``current``).
            PasswordTooWeakError: The new one is refused (field ``password``).
            PasswordsDifferError: Its repetition differs (field ``confirm``).
            NotFoundError: There is no such user.
        """
        user = self._users.get(user_id)
        if not self._passwords.is_right(current, user.password_hash):
            raise CurrentPasswordWrongError
        for error in self._password_refusals(password, confirm, user.username):
            raise error
        password_hash = self._passwords.hash(password)  # slow, so outside of the lock
        return self._change(user_id, lambda user: replace(user, password_hash=password_hash))

    # --- administering accounts -------------------------------------------------------------

    def set_active(self, user_id: UUID, *, active: bool) -> User:
        """Let a user in, or keep them out.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        return self._change(user_id, lambda user: replace(user, is_active=active))

    def set_role(self, user_id: UUID, role: Role) -> User:
        """Make a user an administrator or a clinician.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        return self._change(user_id, lambda user: replace(user, role=role))

    def delete(self, user_id: UUID) -> None:
        """Remove a user with their tokens, analyses and scans.

        The user is kept out first and removed last, so that after a crash in between nothing
        is left that nobody owns, and it can be done again.

        Raises:
            LastAdminError: Nobody could administer the system afterwards.
            NotFoundError: There is no such user.
        """
        self.set_active(user_id, active=False)
        self._tokens.delete_of_user(user_id)
        self._forget(user_id)
        self._users.delete(user_id)

    def _change(self, user_id: UUID, change: Callable[[User], User]) -> User:
        """Change a user, unless nobody could administer the system afterwards."""
        with self._users.transaction():
            before = self._users.get(user_id)
            after = change(before)
            gives_up = _administers(before) and not _administers(after)
            if gives_up and self._users.count_active_admins() == 1:
                raise LastAdminError
            self._users.replace(after)
        return after

    # --- API tokens -------------------------------------------------------------------------

    def create_token(self, user_id: UUID, name: str) -> tuple[ApiToken, str]:
        """Make an API token; returns it with its secret, which cannot be shown again.

        Raises:
            TokenNameInvalidError: The name is empty or longer than 60 characters (field ``name``).
        """
        token, secret = new_token(user_id, name)
        self._tokens.add(token)
        return token, secret

    def list_tokens(self, user_id: UUID) -> list[ApiToken]:
        """Return a user's tokens, newest first."""
        return self._tokens.list_of_user(user_id)

    def revoke_token(self, user_id: UUID, token_id: UUID) -> None:
        """Make a token useless for ever.

        Raises:
            NotFoundError: The user has no such token.
        """
        self._tokens.delete(user_id, token_id)

    def user_of_token(self, secret: str) -> User | None:
        """Return the active user for whom an API secret speaks, or None.

        It is looked up by its digest, so the time of a comparison tells nothing of the secret.
        """
        token = self._tokens.find_by_digest(digest_of(secret))
        user = self._users.find(token.user_id) if token else None
        if token is None or user is None or not user.is_active:
            return None
        now = datetime.now(UTC)
        if token.last_used is None or now - token.last_used >= TOUCH_INTERVAL:
            self._tokens.touch(token.id, now)
        return user


def _administers(user: User) -> bool:
    return user.is_active and user.role is Role.ADMIN
