"""What has outlived its time in the SQL database: found, counted and removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.records import FileState
from app.storage.database import ANALYSES, Database
from app.storage.folding import STUDIES, STUDY_SLICES
from app.storage.one_time_links import ONE_TIME_LINKS
from app.storage.sessions import SESSIONS
from app.storage.throttle import ATTEMPTS, KNOWN_ADDRESSES
from app.storage.uploads import UPLOADED_FILES, UPLOADS

Leftovers = tuple[tuple[str, sa.Table, sa.ColumnElement[bool]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """What is older than these times goes.

    Attributes:
        scans: For analyses, uploads and studies, by when they came; None keeps them.
        sessions: By when they began.
        links: By when they ceased to be good.
        attempts: By the last attempt.
        addresses: By the last sign-in from there.
    """

    scans: datetime | None
    sessions: datetime
    links: datetime
    attempts: datetime
    addresses: datetime


class ExpiryStore:
    """Looks for what is old, over all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def analyses_before(self, created: datetime, limit: int, after: UUID | None) -> list[UUID]:
        """Return analyses that came in before a time, by id from ``after`` on.

        Args:
            created: The time.
            limit: How many at most.
            after: The last id of the previous answer; None begins.
        """
        statement = (
            sa.select(ANALYSES.c.id)
            .where(ANALYSES.c.created < created)
            .order_by(ANALYSES.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(ANALYSES.c.id > after)
        with self._database.reading() as connection:
            return list(connection.scalars(statement))

    def count_analyses_before(self, created: datetime) -> int:
        """Return how many analyses came in before a time."""
        return self._count(ANALYSES, ANALYSES.c.created < created)

    def count_leftovers(self, deadlines: Deadlines) -> Mapping[str, int]:
        """Return how many rows of each kind, besides analyses, have outlived their time."""
        return {kind: self._count(table, old) for kind, table, old in _leftovers(deadlines)}

    def remove_leftovers(self, deadlines: Deadlines) -> Mapping[str, int]:
        """Remove them; return how many of each kind there were.

        Raises:
            StorageError: The database failed; what was removed before stays so.
        """
        removed = {}
        for kind, table, old in _leftovers(deadlines):
            with self._database.writing() as connection:
                removed[kind] = connection.execute(table.delete().where(old)).rowcount
        return removed

    def _count(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        statement = sa.select(sa.func.count()).select_from(table).where(condition)
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()


def _leftovers(deadlines: Deadlines) -> Leftovers:
    always: Leftovers = (
        ("sessions", SESSIONS, SESSIONS.c.created < deadlines.sessions),
        ("one-time links", ONE_TIME_LINKS, ONE_TIME_LINKS.c.expires < deadlines.links),
        ("attempts", ATTEMPTS, ATTEMPTS.c.updated < deadlines.attempts),
        ("addresses", KNOWN_ADDRESSES, KNOWN_ADDRESSES.c.seen < deadlines.addresses),
    )
    if deadlines.scans is None:
        return always
    is_being_read = sa.exists().where(
        UPLOADED_FILES.c.upload_id == UPLOADS.c.id,
        UPLOADED_FILES.c.state == FileState.READING.value,
    )
    has_slices = sa.exists().where(STUDY_SLICES.c.study_id == STUDIES.c.id)
    return (
        ("uploads", UPLOADS, (UPLOADS.c.created < deadlines.scans) & ~is_being_read),
        ("studies", STUDIES, (STUDIES.c.created < deadlines.scans) & ~has_slices),
        *always,
    )
