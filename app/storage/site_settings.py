"""What an administrator has set for this site, in the SQL database: one row a setting."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.storage.database import METADATA, Database
from app.storage.upsert import upsert

SITE_SETTINGS = sa.Table(
    "site_settings",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)


class SiteSettingsStore:
    """Keeps the settings that differ from the defaults, by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> dict[str, Any]:
        """Return what is set, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(SITE_SETTINGS)).mappings()
            return {row["name"]: row["value"] for row in rows}

    def write(self, values: Mapping[str, Any]) -> None:
        """Set some of them, all at once.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            for name, value in values.items():
                upsert(connection, SITE_SETTINGS, {"name": name, "value": value})
