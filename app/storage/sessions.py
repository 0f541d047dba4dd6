"""The sessions of signed-in browsers, and when each user signed in last, in the SQL database."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import Session
from app.storage.database import METADATA, Database, UtcDateTime
from app.storage.upsert import upsert

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created", UtcDateTime, nullable=False, index=True),
    sa.Column("last_seen", UtcDateTime, nullable=False),
    sa.Column("authenticated", UtcDateTime, nullable=False),
    sa.Column("is_complete", sa.Boolean, nullable=False),
    sa.Column("device", sa.String(80), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
)
LAST_SIGN_INS = sa.Table(
    "last_sign_ins",
    METADATA,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)


class SessionStore:
    """Keeps sessions by the digest of what their cookies hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session: Session) -> None:
        """Keep a new session; the user's last sign-in is its start, if it is complete.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            connection.execute(SESSIONS.insert().values(asdict(session)))
            if session.is_complete:
                last = {"user_id": session.user_id, "at": session.created}
                upsert(connection, LAST_SIGN_INS, last)

    def find_by_digest(self, digest: str) -> Session | None:
        """Return the session with this SHA-256, or None."""
        statement = sa.select(SESSIONS).where(SESSIONS.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else Session(**row)

    def list_of_user(self, user_id: UUID) -> list[Session]:
        """Return a user's complete sessions, the one used last first."""
        statement = (
            sa.select(SESSIONS)
            .where(SESSIONS.c.user_id == user_id, SESSIONS.c.is_complete)
            .order_by(SESSIONS.c.last_seen.desc(), SESSIONS.c.id)
        )
        with self._database.reading() as connection:
            return [Session(**row) for row in connection.execute(statement).mappings()]

    def touch(self, session_id: UUID, seen: datetime) -> None:
        """Remember when a session was last used; does nothing if it has ended meanwhile."""
        self._update(session_id, {"last_seen": seen})

    def set_authenticated(self, session_id: UUID, at: datetime) -> None:
        """Remember when the user last proved who they are; nothing if it has ended meanwhile."""
        self._update(session_id, {"authenticated": at})

    def delete(self, user_id: UUID, session_id: UUID) -> None:
        """Remove a user's session.

        Raises:
            NotFoundError: The user has no such session.
            StorageError: The database failed; nothing is changed.
        """
        statement = SESSIONS.delete().where(
            SESSIONS.c.id == session_id, SESSIONS.c.user_id == user_id
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("session")

    def delete_of_session(self, session_id: UUID) -> None:
        """Remove a session, if it is still there."""
        with self._database.writing() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.id == session_id))

    def delete_of_user(self, user_id: UUID, *, keep: UUID | None = None) -> None:
        """Remove all sessions of a user, but for the one with the id ``keep``."""
        statement = SESSIONS.delete().where(SESSIONS.c.user_id == user_id)
        if keep is not None:
            statement = statement.where(SESSIONS.c.id != keep)
        with self._database.writing() as connection:
            connection.execute(statement)

    def delete_begun_before(self, created: datetime) -> None:
        """Remove sessions that began before a time."""
        with self._database.writing() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.created < created))

    def last_sign_ins(self) -> Mapping[UUID, datetime]:
        """Return when each user signed in last; those who never did are not in it."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(LAST_SIGN_INS)).all()
        return {row.user_id: row.at for row in rows}

    def forget_user(self, user_id: UUID) -> None:
        """Remove all that is kept of a user."""
        with self._database.writing() as connection:
            for table in (SESSIONS, LAST_SIGN_INS):
                connection.execute(table.delete().where(table.c.user_id == user_id))

    def _update(self, session_id: UUID, values: Mapping[str, datetime]) -> None:
        statement = SESSIONS.update().where(SESSIONS.c.id == session_id).values(**values)
        with self._database.writing() as connection:
            connection.execute(statement)
