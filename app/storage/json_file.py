"""A storage for TinyDB that several threads and processes may use at once.

TinyDB's own JSON storage rewrites its file in place, so a crash loses it; its documentation warns
against several threads or processes; and with each change it writes everything. Here a change is a
line at the end of a journal beside the file. When the journal has become as long as the file, both
are written anew as one file, which is then put in place of the old one. All of a change, reading,
checking and writing, is done under one lock.

What remains of TinyDB's price: every process holds all documents in memory and reads all of them
when it starts, and there is one writer at a time. ``tests/benchmarks/accounts_growth.py`` measures
it.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Any

from tinydb.storages import Storage

from app.errors import StorageError
from app.storage.files import PRIVATE_FILE_MODE, ProcessLock, sync_folder, write_atomically
from app.storage.journal import Change, change_line, header_line
from app.storage.json_reader import FORMAT_TABLE, Content, JSONReader, Mark, Tables, make

LEAST_JOURNAL_BYTES = 2**18  # shorter than this, it is not worth a new file


class AtomicJSONStorage(Storage):
    """Keeps TinyDB's tables in one JSON file and its journal, ``<name>.journal``.

    Args:
        path: Of the file; its folder exists. The lock lies beside it as ``<name>.lock``.
        content: What the file holds, for messages: ``accounts``.
        version: Of what stands in the tables. It is written into the file; a file without one is
            of version 1, and one of a newer version is not read.
    """

    def __init__(self, path: Path, *, content: str, version: int = 1) -> None:
        self._path = path
        self._journal_path = path.with_name(path.name + ".journal")
        self._name = content
        self._version = version
        self._lock = ProcessLock(path.with_name(path.name + ".lock"))
        self._cache_lock = Lock()
        self._reader = JSONReader(path, self._journal_path, name=content, version=version)

    def exclusive(self) -> AbstractContextManager[Any]:
        """Return the lock to be held over a change, from its first read to its write."""
        return self._lock

    def read(self) -> Tables | None:
        """Return the tables as last written by any process; None before the first write.

        They are shared and not to be changed; that is what ``append`` is for.

        Raises:
            StorageError: The file is damaged or cannot be read. It is left as it is.
        """
        with self._cache_lock:
            content = self._reader.current()
            return None if content is None else content.tables

    def follow(self, mark: Mark, table: str) -> tuple[Mark, dict[str, Any] | list[Change]]:
        """Return what is new in a table since a mark, and the mark after that.

        Where the file was written anew meanwhile, that is the whole table.

        Raises:
            StorageError: The file is damaged or cannot be read. It is left as it is.
        """
        with self._cache_lock:
            content = self._reader.current()
            if content is None:
                return Mark(self._reader.loads), {}
            now = Mark(self._reader.loads, len(content.changes))
            if now.load == mark.load and mark.changes <= now.changes:
                news = content.changes[mark.changes :]
                return now, [change for change in news if change.table == table]
            return now, dict(content.tables.get(table, {}))

    def append(self, changes: Sequence[Change]) -> None:
        """Make changes: all of them or none.

        The file is written anew where it is of a former version, which knew no journal.

        Raises:
            StorageError: They cannot be written. The old content stays.
        """
        self._check_held()
        with self._cache_lock:
            content = self._reader.current()
        if (
            content is None
            or content.version < self._version
            or content.journal_bytes > max(LEAST_JOURNAL_BYTES, content.file_bytes)
        ):
            self.write(_changed(content, changes))
        else:
            with self._writing():
                self._append_lines(content, changes)

    def write(self, data: Tables) -> None:
        """Replace the file, which makes its journal void.

        Raises:
            StorageError: It cannot be written. The old content stays.
        """
        self._check_held()
        with self._cache_lock:
            content = self._reader.current()
        generation = 1 + (content.generation if content else 0)
        about = {"1": {"version": self._version, "generation": generation}}
        with self._writing():
            write_atomically(self._path, json.dumps(data | {FORMAT_TABLE: about}).encode())
            self._journal_path.unlink(missing_ok=True)  # it follows a former file, so may remain

    def close(self) -> None:
        """Let go of the file that the cache stands for."""
        with self._cache_lock:
            self._reader.forget()

    # --- writing ----------------------------------------------------------------------------

    def _append_lines(self, content: Content, changes: Sequence[Change]) -> None:
        is_new = content.journal_bytes == 0
        lines = change_line(changes)
        if is_new:
            lines = header_line(content.generation) + lines
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self._journal_path, flags, PRIVATE_FILE_MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as journal:
            journal.truncate(content.journal_bytes)  # what a crash left behind
            journal.seek(content.journal_bytes)
            try:
                if journal.write(lines) != len(lines):
                    raise OSError(28, "No space left on device")
                os.fsync(journal.fileno())
            except BaseException:
                journal.truncate(content.journal_bytes)
                raise
        if is_new:
            sync_folder(self._journal_path.parent)

    def _writing(self) -> "_Writing":
        return _Writing(self._name, self.close)

    def _check_held(self) -> None:
        if not self._lock.is_held:
            raise RuntimeError("a change without exclusive() would lose what others write")


class _Writing:
    """Turns what hinders a write into an error for people, and then forgets what was read."""

    def __init__(self, content: str, forget: Callable[[], None]) -> None:
        self._content = content
        self._forget = forget

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self._forget()  # somebody may have read a line that was then taken back
        if isinstance(error, OSError):
            raise StorageError(
                f"The {self._content} file cannot be written ({error.strerror}); nothing was "
                "changed. Check the free space and the permissions of the data folder."
            ) from error


def _changed(content: Content | None, changes: Sequence[Change]) -> Tables:
    """Return a copy of the tables with changes made."""
    tables = {name: dict(table) for name, table in content.tables.items()} if content else {}
    for change in changes:
        make(change, tables)
    return tables
