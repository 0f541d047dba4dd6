"""Sessions: who is signed in, and when a session ends."""

from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from flask import Flask, session
from flask_login import LoginManager, UserMixin, login_user, logout_user

from app.records import Role, User
from app.web.context import services

SEPARATOR = ":"


class SignedInUser(UserMixin):  # type: ignore[misc]  # flask_login has no types
    """A stored user as Flask-Login wants one. A deactivated user is not authenticated."""

    def __init__(self, record: User) -> None:
        self.record = record

    @property
    def is_active(self) -> bool:
        """Whether an administrator lets the user in."""
        return self.record.is_active

    @property
    def is_admin(self) -> bool:
        """Whether the user may administer the system."""
        return self.record.role is Role.ADMIN

    def get_id(self) -> str:
        """Return what the session keeps: the user, bound to the password that signed them in."""
        return f"{self.record.id}{SEPARATOR}{_fingerprint(self.record)}"


def init_app(app: Flask) -> None:
    """Tell the application how to find the user of a session."""
    manager = LoginManager()
    # Its own way to tell templates of the user looks the user up for every page, also for the one
    # that says that accounts cannot be read. See app.web.frame.
    manager.init_app(app, add_context_processor=False)
    manager.user_loader(load_user)


def load_user(session_id: str) -> SignedInUser | None:
    """Return the user of a session; None once deleted, deactivated or with a new password."""
    user_id, _, fingerprint = session_id.partition(SEPARATOR)
    try:
        record = services().accounts.find(UUID(user_id))
    except ValueError:
        return None
    if record is None or not record.is_active:
        return None
    if not compare_digest(fingerprint.encode(), _fingerprint(record).encode()):
        return None
    return SignedInUser(record)


def begin_session(user: User) -> None:
    """Sign a user in, in a session that has nothing of the one before."""
    session.clear()
    session.permanent = True
    login_user(SignedInUser(user))


def end_session() -> None:
    """Sign out and forget everything in the session."""
    logout_user()
    session.clear()


def _fingerprint(user: User) -> str:
    # Of a salted hash with a cost: what is in the cookie tells nothing of the password.
    return sha256(user.password_hash.encode()).hexdigest()[:32]
