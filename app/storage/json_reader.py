"""Reads a JSON file of TinyDB's tables together with its journal, parsing only what is new."""

import json
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from app.errors import StorageError
from app.storage.journal import Change, DamagedLineError, read_changes, read_header

FORMAT_TABLE = "_format"  # a table like the others, so that TinyDB can read the file by itself

Tables = dict[str, dict[str, Any]]
Identity = tuple[int, int, int, int]


class Mark(NamedTuple):
    """How far a reader has followed: which reading of the file, and how many changes after it."""

    load: int = 0
    changes: int = 0


@dataclass(slots=True)
class Content:
    """The file and its journal as they were last read.

    Attributes:
        identity: Of the file.
        generation: How often the file has been written; the journal names the one it follows.
        version: Of what stands in the tables.
        file_bytes: Length of the file.
        journal: Identity of the journal.
        journal_bytes: Length of its whole lines; 0 where it is absent or of another generation.
        changes: What the journal holds; already made in ``tables``.
    """

    tables: Tables
    identity: Identity
    generation: int
    version: int
    file_bytes: int
    journal: Identity | None = None
    journal_bytes: int = 0
    changes: list[Change] = field(default_factory=list)


class JSONReader:
    """Reads the file and keeps what it has read; not for several threads at once.

    Args:
        path: Of the file.
        journal_path: Of its journal.
        name: What the file holds, for messages.
        version: The newest that is understood.
    """

    def __init__(self, path: Path, journal_path: Path, *, name: str, version: int) -> None:
        self._path = path
        self._journal_path = journal_path
        self._name = name
        self._version = version
        self._close_cached_file: Callable[[], object] = _nothing
        self._cached: Content | None = None
        self.loads = 0  # so that who follows the changes knows when to begin anew

    def current(self) -> Content | None:
        """Return the file with its journal; None where there is no file.

        Raises:
            StorageError: Either is damaged or cannot be read.
        """
        try:
            while True:
                content = self._read_file()
                try:
                    self._read_journal(content)
                except FileNotFoundError:
                    if content.journal_bytes:  # somebody made one file of both
                        self.forget()
                        continue
                if content.identity == _identity(self._path.stat()):
                    return content
        except FileNotFoundError:
            self.forget()
            return None
        except (OSError, DamagedLineError, StorageError) as error:
            self.forget()
            if isinstance(error, OSError):
                raise self._unreadable(error) from error
            if isinstance(error, DamagedLineError):
                raise self._damaged(self._journal_path) from error
            raise

    def _read_file(self) -> Content:
        """Return the file, parsed only when it is not the one that was parsed last.

        The file that was parsed is kept open: as long as it is, no other file can get its inode
        number, so a new file is never taken for the old one.
        """
        if self._cached is None or self._cached.identity != _identity(self._path.stat()):
            self.forget()
            descriptor = os.open(self._path, os.O_RDONLY)
            self._close_cached_file = weakref.finalize(self, os.close, descriptor)
            identity = _identity(os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                self._cached = self._parsed(file.read(), identity)
        return self._cached

    def _read_journal(self, content: Content) -> None:
        """Make the changes in the tables that the journal got since it was last read."""
        identity = _identity(self._journal_path.stat())
        if identity == content.journal:
            return
        with self._journal_path.open("rb") as file:
            file.seek(content.journal_bytes)
            data = file.read()
        header_bytes = 0
        if content.journal_bytes == 0:
            generation, header_bytes = read_header(data)
            if generation is None or generation < content.generation:
                content.journal = identity
                return
            if generation > content.generation:
                raise self._older_than_journal()
        changes, length = read_changes(data[header_bytes:])
        for change in changes:
            make(change, content.tables)
        content.changes += changes
        content.journal_bytes += header_bytes + length
        content.journal = identity

    def forget(self) -> None:
        """Let go of the file, and read all of it next time."""
        self._close_cached_file()
        self._cached = None
        self.loads += 1

    def _parsed(self, data: bytes, identity: Identity) -> Content:
        try:
            tables = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged(self._path) from error
        if not _are_tables(tables):
            raise self._damaged(self._path)
        about = tables.pop(FORMAT_TABLE, {}).get("1", {})
        version, generation = about.get("version", 1), about.get("generation", 0)
        if not isinstance(version, int) or not isinstance(generation, int):
            raise self._damaged(self._path)
        if version > self._version:
            raise StorageError(
                f"The {self._name} file {self._path.name} in the data folder was written by a "
                "newer Veriscan. Start that one."
            )
        return Content(tables, identity, generation, version, len(data))

    def _damaged(self, path: Path) -> StorageError:
        return StorageError(
            f"The {self._name} file {path.name} in the data folder is damaged. It was "
            "left as it is: restore it from a backup, then try again."
        )

    def _older_than_journal(self) -> StorageError:
        return StorageError(
            f"The {self._name} file {self._path.name} in the data folder is older than its "
            f"journal {self._journal_path.name}. Restore both from the same backup; where that "
            "backup has no journal, move the journal away."
        )

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(
            f"The {self._name} file {self._path.name} in the data folder cannot be read "
            f"({error.strerror}). Check its permissions."
        )


def make(change: Change, tables: Tables) -> None:
    """Make a change in tables."""
    table = tables.setdefault(change.table, {})
    if change.fields is None:
        table.pop(change.key, None)
    else:
        table[change.key] = change.fields


def _are_tables(value: Any) -> TypeGuard[Tables]:
    """Return whether a parsed file has TinyDB's shape: documents in tables, all of them objects."""
    return isinstance(value, dict) and all(
        isinstance(table, dict) and all(isinstance(document, dict) for document in table.values())
        for table in value.values()
    )


def _nothing() -> None:
    """Close the file of an empty cache."""


def _identity(status: os.stat_result) -> Identity:
    """Return what tells one file from another, and an edit by hand from none."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
