"""How many attempts were made lately, in the SQL database, where a restart does not forget them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from app.storage.database import METADATA, Database, UtcDateTime
from app.storage.upsert import upsert

POSTGRESQL_LOCK = 0x5645525448  # any number, the same in every process
FORGOTTEN_AFTER = timedelta(days=2)  # longer than any bucket takes to run empty

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("updated", UtcDateTime, nullable=False, index=True),
)
KNOWN_ADDRESSES = sa.Table(
    "known_addresses",
    METADATA,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("seen", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A leaky bucket: each attempt is a drop, and it leaks a drop every ``leak_s`` seconds.

    Attributes:
        capacity: How many drops it holds; while it is full, no attempt is let through.
    """

    capacity: int
    leak_s: float


class ThrottleStore:
    """Keeps the level of each bucket, and the addresses from which each user has signed in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, buckets: Mapping[str, Bucket], now: datetime) -> float:
        """Put one drop into each bucket, or into none where one is full.

        Checking and adding are one transaction, so that attempts at once do not slip through.

        Args:
            buckets: By key.
            now: The present time.

        Returns:
            For how many seconds there is no room; 0 if the drops went in.
        """
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's write lock sees to it itself
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRESQL_LOCK)))
            connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.updated < now - FORGOTTEN_AFTER))
            # The clock was set back since: they would not leak before it has caught up.
            ahead = ATTEMPTS.c.updated > now
            connection.execute(ATTEMPTS.update().where(ahead).values(updated=now))
            levels = _levels(connection, buckets, now)
            wait_s = max(
                (levels[key] + 1 - bucket.capacity) * bucket.leak_s
                for key, bucket in buckets.items()
            )
            if wait_s > 0:
                return wait_s
            for key, level in levels.items():
                upsert(connection, ATTEMPTS, {"key": key, "level": level + 1, "updated": now})
        return 0.0

    def give_back(self, key: str) -> None:
        """Take the drop of one attempt out of a bucket again."""
        statement = (
            ATTEMPTS.update()
            .where(ATTEMPTS.c.key == key, ATTEMPTS.c.level >= 1)
            .values(level=ATTEMPTS.c.level - 1)
        )
        with self._database.writing() as connection:
            connection.execute(statement)

    def empty(self, key: str) -> None:
        """Empty a bucket."""
        with self._database.writing() as connection:
            connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.key == key))

    # --- addresses of users -----------------------------------------------------------------

    def know(self, user_id: UUID, address: str, seen: datetime) -> None:
        """Remember that a user has signed in from an address."""
        row = {"user_id": user_id, "address": address, "seen": seen}
        with self._database.writing() as connection:
            upsert(connection, KNOWN_ADDRESSES, row)

    def is_known(self, user_id: UUID, address: str, since: datetime) -> bool:
        """Return whether a user has signed in from an address since a time."""
        statement = sa.select(KNOWN_ADDRESSES.c.user_id).where(
            KNOWN_ADDRESSES.c.user_id == user_id,
            KNOWN_ADDRESSES.c.address == address,
            KNOWN_ADDRESSES.c.seen >= since,
        )
        with self._database.reading() as connection:
            return connection.scalar(statement) is not None

    def forget_user(self, user_id: UUID) -> None:
        """Remove the addresses of a user."""
        with self._database.writing() as connection:
            connection.execute(KNOWN_ADDRESSES.delete().where(KNOWN_ADDRESSES.c.user_id == user_id))


def _levels(
    connection: sa.Connection, buckets: Mapping[str, Bucket], now: datetime
) -> dict[str, float]:
    """Return how many drops are in each bucket now."""
    levels = dict.fromkeys(buckets, 0.0)
    statement = sa.select(ATTEMPTS).where(ATTEMPTS.c.key.in_(list(buckets)))
    for row in connection.execute(statement):
        leaked = max(0.0, (now - row.updated).total_seconds()) / buckets[row.key].leak_s
        levels[row.key] = max(0.0, row.level - leaked)
    return levels
