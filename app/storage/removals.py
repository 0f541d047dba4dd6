"""Which analyses are being removed, so that a removal that a crash cut short is finished."""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.storage.database import METADATA, Database

REMOVALS = sa.Table(
    "removals",
    METADATA,
    # No foreign key: it is to outlive the analysis for the moment until its pictures are gone.
    sa.Column("analysis_id", sa.Uuid, primary_key=True),
)


class RemovalStore:
    """Keeps the ids of analyses from the beginning of their removal to its end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def announce(self, analysis_ids: Collection[UUID]) -> None:
        """Keep that these are to be removed; those that are announced already stay so.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        rows = [{"analysis_id": analysis_id} for analysis_id in analysis_ids]
        if not rows:
            return
        with self._database.writing() as connection:
            is_postgresql = connection.dialect.name == "postgresql"
            insert = postgresql.insert if is_postgresql else sqlite.insert
            connection.execute(insert(REMOVALS).on_conflict_do_nothing(), rows)

    def settle(self, analysis_ids: Collection[UUID]) -> None:
        """Forget these: nothing is left of them.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            connection.execute(REMOVALS.delete().where(_among(analysis_ids)))

    def pending(self) -> list[UUID]:
        """Return those whose removal has not come to its end."""
        with self._database.reading() as connection:
            return list(connection.scalars(sa.select(REMOVALS.c.analysis_id)))


def _among(analysis_ids: Collection[UUID]) -> sa.ColumnElement[bool]:
    return REMOVALS.c.analysis_id.in_(analysis_ids)
