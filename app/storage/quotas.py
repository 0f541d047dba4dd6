"""How much the scans of single users may take, where that differs from the site's limit."""

from uuid import UUID

import sqlalchemy as sa

from app.storage.database import METADATA, Database
from app.storage.upsert import upsert

QUOTAS = sa.Table(
    "quotas",
    METADATA,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("mib", sa.Integer, nullable=False),
)


class QuotaStore:
    """Keeps the limits of single users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID) -> int | None:
        """Return the limit of a user in MiB, 0 for none; None where the site's limit holds."""
        statement = sa.select(QUOTAS.c.mib).where(QUOTAS.c.user_id == user_id)
        with self._database.reading() as connection:
            return connection.scalar(statement)

    def set(self, user_id: UUID, mib: int | None) -> None:
        """Give a user a limit of their own; None takes it away.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            if mib is None:
                connection.execute(QUOTAS.delete().where(QUOTAS.c.user_id == user_id))
            else:
                upsert(connection, QUOTAS, {"user_id": user_id, "mib": mib})
