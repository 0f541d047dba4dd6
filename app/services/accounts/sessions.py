"""Sessions: who is signed in with which browser, and when a session ends by itself.

The cookie holds a random secret, the database its digest with everything else. A session ends at
the next request after sign-out, a new password, deactivation or deletion, and by itself when it was
not used for long (idle) or began long ago (absolute), for administrators sooner.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.errors import StorageError
from app.records import Role, Session, User
from app.services.accounts.api_tokens import digest_of, new_secret
from app.services.audit import AuditService, client_address
from app.services.clock import Clock, utc_now
from app.storage.sessions import SessionStore
from app.storage.users import UserStore

TOUCH_INTERVAL = timedelta(minutes=1)
ADMIN_IDLE = timedelta(minutes=30)
ADMIN_ABSOLUTE = timedelta(hours=12)
HALF_WAY = timedelta(minutes=10)  # from the right password to the one-time code
RECENTLY = timedelta(minutes=15)
MAX_DEVICE_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """When sessions end by themselves.

    Attributes:
        idle: After so long without a request.
        absolute: So long after they began, whatever happens.
    """

    idle: timedelta
    absolute: timedelta

    def for_role(self, role: Role) -> "SessionLimits":
        """Return the limits for users of a role."""
        if role is not Role.ADMIN:
            return self
        return SessionLimits(
            idle=min(self.idle, ADMIN_IDLE), absolute=min(self.absolute, ADMIN_ABSOLUTE)
        )


class SessionService:
    """Begins, finds and ends sessions.

    Args:
        store: Where they are.
        users: Where the accounts are.
        limits: When sessions end by themselves.
        audit: Where ends that somebody asked for are recorded.
        clock: Tells the time.
    """

    def __init__(
        self,
        store: SessionStore,
        users: UserStore,
        limits: SessionLimits,
        audit: AuditService,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._users = users
        self._limits = limits
        self._audit = audit
        self._clock = clock

    def begin(self, user_id: UUID, device: str, *, is_complete: bool = True) -> str:
        """Begin a session and return the secret for the browser's cookie.

        Args:
            user_id: Whose it is.
            device: Browser and system in plain words.
            is_complete: False while a one-time code is still to come; it opens nothing then.

        Raises:
            StorageError: It could not be kept.
        """
        now = self._clock()
        self._store.delete_begun_before(now - self._limits.absolute)
        secret = new_secret()
        self._store.add(
            Session(
                id=uuid4(),
                user_id=user_id,
                digest=digest_of(secret),
                created=now,
                last_seen=now,
                authenticated=now,
                is_complete=is_complete,
                device=device[:MAX_DEVICE_CHARACTERS],
                address=client_address.get(),
            )
        )
        return secret

    def find(self, secret: str) -> tuple[User, Session] | None:
        """Return the active user of a living session, and the session; None if there is none."""
        session = self._store.find_by_digest(digest_of(secret))
        if session is None or not session.is_complete:
            return None
        user = self._users.find(session.user_id)
        if user is None or not user.is_active or not self._is_alive(session, user.role):
            return None
        now = self._clock()
        if now - session.last_seen >= TOUCH_INTERVAL:
            with suppress(StorageError):  # whoever only reads can do so while the disk is full
                self._store.touch(session.id, now)
        return user, session

    def find_half_way(self, secret: str) -> User | None:
        """Return the active user who gave the right password and still owes a one-time code."""
        session = self._store.find_by_digest(digest_of(secret))
        if session is None or session.is_complete:
            return None
        user = self._users.find(session.user_id)
        if user is None or not user.is_active or self._clock() - session.created > HALF_WAY:
            return None
        return user

    def list_of_user(self, user_id: UUID) -> list[Session]:
        """Return a user's living sessions, the one used last first."""
        user = self._users.find(user_id)
        if user is None:
            return []
        sessions = self._store.list_of_user(user_id)
        return [session for session in sessions if self._is_alive(session, user.role)]

    def last_sign_ins(self) -> Mapping[UUID, datetime]:
        """Return when each user signed in last; those who never did are not in it."""
        return self._store.last_sign_ins()

    # --- proof of identity ------------------------------------------------------------------

    def is_recent(self, session: Session) -> bool:
        """Return whether the user proved only lately who they are."""
        return self._clock() - session.authenticated <= RECENTLY

    def note_proof(self, session: Session) -> None:
        """Remember that the user has just proved who they are."""
        self._store.set_authenticated(session.id, self._clock())

    # --- ending -----------------------------------------------------------------------------

    def end(self, secret: str) -> None:
        """End the session of a cookie, if there is one."""
        session = self._store.find_by_digest(digest_of(secret))
        if session is None:
            return
        self._store.delete_of_session(session.id)
        if session.is_complete:
            self._audit.record("account.signed_out", actor=session.user_id)

    def end_one(self, user_id: UUID, session_id: UUID, *, actor: UUID) -> None:
        """End one session of a user.

        Raises:
            NotFoundError: The user has no such session.
        """
        self._store.delete(user_id, session_id)
        self._audit.record("account.session_ended", actor=actor, subject=str(user_id))

    def end_all(self, user_id: UUID, *, keep: UUID | None = None) -> None:
        """End all sessions of a user, but for the one with the id ``keep``."""
        self._store.delete_of_user(user_id, keep=keep)

    def forget(self, user_id: UUID) -> None:
        """Remove all that is kept of a user who is being deleted."""
        self._store.forget_user(user_id)

    def _is_alive(self, session: Session, role: Role) -> bool:
        now, limits = self._clock(), self._limits.for_role(role)
        is_idle = now - session.last_seen > limits.idle
        return not is_idle and now - session.created <= limits.absolute
