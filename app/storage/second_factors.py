"""The second factors of users: seeds of one-time codes, and recovery codes, in the SQL database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.storage.database import METADATA, Database, UtcDateTime

SECOND_FACTORS = sa.Table(
    "second_factors",
    METADATA,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("sealed_seed", sa.Text, nullable=False),
    sa.Column("confirmed", UtcDateTime),
    sa.Column("last_step", sa.BigInteger, nullable=False),
)
RECOVERY_CODES = sa.Table(
    "recovery_codes",
    METADATA,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """What makes a user's one-time codes.

    Attributes:
        sealed_seed: The seed, encrypted.
        confirmed: When the user first gave a right code; it counts only from then on.
        last_step: Number of the 30-second step of the last code that was taken.
    """

    user_id: UUID
    sealed_seed: str
    confirmed: datetime | None
    last_step: int


class SecondFactorStore:
    """Keeps at most one second factor a user, and the digests of its recovery codes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID) -> SecondFactor | None:
        """Return a user's second factor, confirmed or not, or None."""
        statement = sa.select(SECOND_FACTORS).where(SECOND_FACTORS.c.user_id == user_id)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else SecondFactor(**row)

    def users(self) -> frozenset[UUID]:
        """Return who has a confirmed second factor."""
        statement = sa.select(SECOND_FACTORS.c.user_id).where(
            SECOND_FACTORS.c.confirmed.is_not(None)
        )
        with self._database.reading() as connection:
            return frozenset(connection.scalars(statement))

    def put(self, user_id: UUID, sealed_seed: str) -> bool:
        """Keep a new seed, not confirmed yet; False if the user has a confirmed one."""
        own = SECOND_FACTORS.c.user_id == user_id
        with self._database.writing() as connection:
            connection.execute(
                SECOND_FACTORS.delete().where(own, SECOND_FACTORS.c.confirmed.is_(None))
            )
            if connection.scalar(sa.select(SECOND_FACTORS.c.user_id).where(own)) is not None:
                return False
            connection.execute(
                SECOND_FACTORS.insert().values(
                    user_id=user_id, sealed_seed=sealed_seed, last_step=0
                )
            )
            return True

    def confirm(self, user_id: UUID, sealed_seed: str, at: datetime) -> bool:
        """Let a second factor count from now on; False if it does already, or has another seed."""
        statement = (
            SECOND_FACTORS.update()
            .where(
                SECOND_FACTORS.c.user_id == user_id,
                SECOND_FACTORS.c.sealed_seed == sealed_seed,
                SECOND_FACTORS.c.confirmed.is_(None),
            )
            .values(confirmed=at)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def take_step(self, user_id: UUID, step: int) -> bool:
        """Remember the step of a code that is taken; False if it or a later one was before."""
        statement = (
            SECOND_FACTORS.update()
            .where(SECOND_FACTORS.c.user_id == user_id, SECOND_FACTORS.c.last_step < step)
            .values(last_step=step)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def replace_codes(self, user_id: UUID, digests: Iterable[str]) -> None:
        """Keep new recovery codes in place of all before."""
        rows = [{"user_id": user_id, "digest": digest} for digest in digests]
        with self._database.writing() as connection:
            connection.execute(RECOVERY_CODES.delete().where(RECOVERY_CODES.c.user_id == user_id))
            connection.execute(RECOVERY_CODES.insert(), rows)

    def take_code(self, user_id: UUID, digest: str) -> bool:
        """Use up a recovery code; False if there is none like it."""
        statement = RECOVERY_CODES.delete().where(
            RECOVERY_CODES.c.user_id == user_id, RECOVERY_CODES.c.digest == digest
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def count_codes(self, user_id: UUID) -> int:
        """Return how many recovery codes are left."""
        statement = sa.select(sa.func.count()).where(RECOVERY_CODES.c.user_id == user_id)
        with self._database.reading() as connection:
            return connection.scalar(statement) or 0

    def delete(self, user_id: UUID) -> None:
        """Remove a user's second factor with its recovery codes."""
        with self._database.writing() as connection:
            for table in (SECOND_FACTORS, RECOVERY_CODES):
                connection.execute(table.delete().where(table.c.user_id == user_id))
