"""Sessions in the browser: who is signed in, and since when.

The cookie is signed and holds a random secret; all else about a session is in the database, see
app.services.accounts.sessions.
"""

from flask import Flask, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from app.records import Role, Session, User
from app.services.accounts.sign_in import SignIn
from app.web.accounts.devices import device_of
from app.web.context import services

HALF_WAY = "half_way"


class SignedInUser(UserMixin):  # type: ignore[misc]  # flask_login has no types
    """A stored user as Flask-Login wants one, in one of their sessions.

    Args:
        record: The user.
        session: The session; None on the way into a new one.
        secret: Of the session, as the cookie holds it.
    """

    def __init__(self, record: User, session: Session | None, secret: str) -> None:
        self.record = record
        self.session = session
        self._secret = secret

    @property
    def is_active(self) -> bool:
        """Whether an administrator lets the user in."""
        return self.record.is_active

    @property
    def is_admin(self) -> bool:
        """Whether the user may administer the system."""
        return self.record.role is Role.ADMIN

    @property
    def is_recent(self) -> bool:
        """Whether the user proved only lately who they are, so that dangerous acts are open."""
        return self.session is None or services().identity.sessions.is_recent(self.session)

    def get_id(self) -> str:
        """Return what the cookie keeps."""
        return self._secret


def init_app(app: Flask) -> None:
    """Tell the application how to find the user of a session."""
    manager = LoginManager()
    # Its own way to tell templates of the user looks the user up for every page, also for the one
    # that says that accounts cannot be read. See app.web.frame.
    manager.init_app(app, add_context_processor=False)
    manager.user_loader(load_user)


def load_user(secret: str) -> SignedInUser | None:
    """Return the user of a session; None once it has ended, or its user is kept out."""
    found = services().identity.sessions.find(secret)
    return None if found is None else SignedInUser(*found, secret)


def device() -> str:
    """Return the browser and system of this request in plain words."""
    return device_of(request.user_agent.string)


def enter(entry: SignIn) -> None:
    """Sign a user in, in a session that has nothing of the one before.

    Where a one-time code is still to come, the cookie only remembers that the password was right.
    """
    _leave()
    if entry.needs_code:
        session[HALF_WAY] = entry.secret
    else:
        login_user(SignedInUser(entry.user, None, entry.secret))


def begin_session(user: User) -> None:
    """Sign in who has just made an account or chosen a new password."""
    secret = services().identity.sign_in.begin_session_of(user, device())
    enter(SignIn(user=user, secret=secret, needs_code=False))


def half_way() -> str | None:
    """Return the secret of the session that a right password has begun, if there is one."""
    secret = session.get(HALF_WAY)
    return secret if isinstance(secret, str) else None


def end_session() -> None:
    """Sign out and forget everything in the session."""
    _leave()
    logout_user()
    session.clear()


def current_session() -> Session:
    """Return the session of this request; only behind a guard that lets users in."""
    found: Session = current_user.session
    return found


def _leave() -> None:
    """End what this browser had before, on the server too."""
    for secret in (session.get("_user_id"), session.get(HALF_WAY)):
        if isinstance(secret, str):
            services().identity.sessions.end(secret)
    session.clear()
