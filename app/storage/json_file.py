"""A storage for TinyDB that several threads and processes may use at once.

TinyDB's own JSON storage rewrites its file in place, so a crash loses it, and its documentation
warns against several threads or processes. This one replaces the file as a whole, under a lock
that the whole of a change holds: reading, checking and writing.
"""

import json
import os
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Any, TypeGuard

from tinydb.storages import Storage

from app.errors import StorageError
from app.storage.files import ProcessLock, write_atomically

Tables = dict[str, dict[str, Any]]
Identity = tuple[int, int, int, int]


class AtomicJSONStorage(Storage):
    """Keeps TinyDB's tables in one JSON file.

    Args:
        path: Of the file; its folder exists. The lock lies beside it as ``<name>.lock``.
        content: What the file holds, for messages: ``accounts``.
    """

    def __init__(self, path: Path, *, content: str) -> None:
        self._path = path
        self._content = content
        self._lock = ProcessLock(path.with_name(path.name + ".lock"))
        self._cache_lock = Lock()
        self._close_cached_file: Callable[[], object] = _nothing
        self._cached_identity: Identity | None = None
        self._cached_tables: Tables | None = None

    def exclusive(self) -> AbstractContextManager[Any]:
        """Return the lock to be held over a change, from its first read to its write."""
        return self._lock

    def read(self) -> Tables | None:
        """Return the tables as last written by any process; None before the first write.

        Outside of ``exclusive`` what is returned is shared and not to be changed. Inside it is
        the caller's own, so that a change that fails later has touched nothing.

        Raises:
            StorageError: The file is damaged or cannot be read. It is left as it is.
        """
        try:
            if self._lock.is_held:
                return self._parsed(self._path.read_bytes())
            with self._cache_lock:
                return self._read_cached()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error

    def write(self, data: Tables) -> None:
        """Replace the file.

        Raises:
            StorageError: It cannot be written. The old content stays.
        """
        if not self._lock.is_held:
            raise RuntimeError("write() without exclusive() would lose what others write")
        try:
            write_atomically(self._path, json.dumps(data, indent=1).encode())
        except OSError as error:
            raise StorageError(
                f"The {self._content} file cannot be written ({error.strerror}); nothing was "
                "changed. Check the free space and the permissions of the data folder."
            ) from error

    def close(self) -> None:
        """Let go of the file that the cache stands for."""
        with self._cache_lock:
            self._forget()

    def _read_cached(self) -> Tables:
        """Return the parsed file, parsing it only when it is not the one parsed last.

        The file that was parsed is kept open: as long as it is, no other file can get its inode
        number, so a new file is never taken for the old one.
        """
        if self._cached_tables is None or self._cached_identity != _identity(self._path.stat()):
            self._forget()
            descriptor = os.open(self._path, os.O_RDONLY)
            self._close_cached_file = weakref.finalize(self, os.close, descriptor)
            self._cached_identity = _identity(os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                self._cached_tables = self._parsed(file.read())
        return self._cached_tables

    def _forget(self) -> None:
        self._close_cached_file()
        self._cached_identity = self._cached_tables = None

    def _parsed(self, data: bytes) -> Tables:
        try:
            tables = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged() from error
        if not _are_tables(tables):
            raise self._damaged()
        return tables

    def _damaged(self) -> StorageError:
        return StorageError(
            f"The {self._content} file {self._path.name} in the data folder is damaged. It was "
            "left as it is: restore it from a backup, then try again."
        )

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(
            f"The {self._content} file {self._path.name} in the data folder cannot be read "
            f"({error.strerror}). Check its permissions."
        )


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
