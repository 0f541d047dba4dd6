"""Backups: one consistent state of accounts, database, scans and keys, while the server writes."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from app.config import Settings
from app.errors import BackupError, NotFoundError
from app.services.audit import AuditService
from app.storage.analyses import AnalysisStore
from app.storage.backup_file import KEYS, RECORDS, BackupWriter, new_backup
from app.storage.database import FILE_NAME as DATABASE
from app.storage.database import SCHEMA_VERSION, Database
from app.storage.images import FOLDER_NAME as IMAGES
from app.storage.images import ImageStore, Picture
from app.storage.users import UserStore

WriteDatabase = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSources:
    """Where what is backed up lies."""

    settings: Settings
    users: UserStore
    database: Database
    images: ImageStore


class BackupService:
    """Makes backups.

    Accounts, database and the anchor of the audit trail are of one moment. The scans are those of
    this state of the database; what is deleted while they are copied is not in the backup either.
    Scans that are encrypted stay so. Keys that lie in the data folder are in the backup, since
    without them it could not be used; those that a setting names elsewhere are not.

    Args:
        sources: Where everything is.
        audit: Where it is recorded; it is held still for a moment.
    """

    def __init__(self, sources: BackupSources, audit: AuditService) -> None:
        self._from = sources
        self._data_dir = sources.settings.data_dir
        self._audit = audit

    def make(self, path: Path) -> int:
        """Write a backup to a path that is free; return how many analyses are in it.

        Raises:
            BackupError: It cannot be made; nothing of it is left.
            StorageError: What is to be backed up cannot be read.
        """
        if self._from.database.kind != "sqlite":
            raise BackupError(
                "The database is PostgreSQL. Dump it with pg_dump, then copy the data folder."
            )
        if path.resolve().is_relative_to(self._data_dir.resolve()):
            raise BackupError("A backup in the data folder would be lost with it. Name another.")
        with new_backup(path) as writer, TemporaryDirectory(dir=path.parent) as folder:
            copy = Path(folder) / DATABASE
            self._add_records(writer, copy)
            count = self._add_pictures(writer, copy)
            writer.add_file(DATABASE, copy)
            about = {"created": datetime.now(UTC).isoformat(), "schema": SCHEMA_VERSION}
            writer.finish(about)
        self._audit.record("backup.made", actor=None, analyses=count)
        return count

    def _add_records(self, writer: BackupWriter, copy: Path) -> None:
        with self._state() as (records, write_database):
            for name, data in records.items():
                writer.add(name, data)
            write_database(copy)

    @contextmanager
    def _state(self) -> Iterator[tuple[dict[str, bytes], WriteDatabase]]:
        """Give small files and database of one moment; those who write wait for that long."""
        users, audit = self._from.users.transaction(), self._audit.paused()
        with ExitStack() as reading:
            with users, audit:
                write_database = reading.enter_context(self._from.database.snapshot())
                found = {name: self._read(name) for name in (*RECORDS, *KEYS)}
            yield {name: data for name, data in found.items() if data is not None}, write_database

    def _add_pictures(self, writer: BackupWriter, copy: Path) -> int:
        """Put in the pictures of all analyses in a copy of the database; return how many these are.

        Analyses that were deleted since it was made go from the copy, too.
        """
        analyses = AnalysisStore(self._from.database)
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            ids = [UUID(text) for (text,) in connection.execute("SELECT id FROM analyses")]
            gone, in_doubt = [], []
            for analysis_id in ids:
                pictures = list(self._pictures(analysis_id))
                if analyses.find(analysis_id) is None:
                    gone.append(analysis_id)
                elif not pictures:
                    in_doubt.append(analysis_id)  # perhaps it is just being deleted
                for name, data in pictures if analysis_id not in gone[-1:] else ():
                    writer.add(f"{IMAGES}/{name}", data)
            being_removed = set(analyses.removals.pending())
            gone += [one for one in in_doubt if one in being_removed or analyses.find(one) is None]
            with connection:
                connection.executemany(
                    "DELETE FROM analyses WHERE id = ?",
                    [(analysis_id.hex,) for analysis_id in gone],
                )
        return len(ids) - len(gone)

    def _pictures(self, analysis_id: UUID) -> Iterator[tuple[str, bytes]]:
        """Yield what there is, if the scan itself is there."""
        for picture in (Picture.SCAN, Picture.HEATMAP, Picture.THUMBNAIL):
            try:
                yield self._from.images.stored(analysis_id, picture)
            except NotFoundError:
                if picture is Picture.SCAN:
                    return

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._data_dir / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackupError(f"A file cannot be read ({error.strerror}).") from error
