"""Files that are whole or absent, and the lock that several processes can share."""

import fcntl
import os
from pathlib import Path
from threading import RLock, get_ident
from types import TracebackType
from typing import Self

from app.errors import StorageError

PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700


class ProcessLock:
    """A lock between the threads and the processes that share a folder; one holder may nest it.

    ``flock`` rather than a library: the kernel frees it when its holder is killed, wakes the next
    one at once, and it is three lines. The lock's file stays; removing it would let two in.

    Args:
        path: Of the lock's own, empty file; made where missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = RLock()
        self._depth = 0
        self._owner: int | None = None
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == get_ident()

    def __enter__(self) -> Self:
        self._threads.acquire()
        try:
            if self._depth == 0:
                self._descriptor = self._locked_descriptor()
                self._owner = get_ident()
            self._depth += 1
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            os.close(self._descriptor)  # which frees the lock
        self._threads.release()

    def _locked_descriptor(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE)
        except OSError as error:
            raise StorageError(
                f"The data folder cannot be written ({error.strerror}). Check its permissions."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it, where missing; only its owner may look inside.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The data folder cannot be made ({error.strerror}). Check VERISCAN_DATA_DIR."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file of mode 600 such that it holds either the old content or all of the new.

    When it returns, the content is on the disk and outlives a crash. No two writers may write
    the same path at once.

    Raises:
        OSError: It could not be written; the old content, if there was any, is still there.
    """
    replace_atomically(path, data)
    sync_folder(path.parent)


def replace_atomically(path: Path, data: bytes) -> None:
    """Do as ``write_atomically``, but after a power cut the file may hold the old content again.

    With ``sync_folder``, this writes several files of a folder durably.

    Raises:
        OSError: It could not be written; the old content, if there was any, is still there.
    """
    temporary = temporary_path(path)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(temporary, flags, PRIVATE_FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the system call is the point
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_path(path: Path) -> Path:
    """Return where ``write_atomically`` writes first, and what a crash may leave."""
    return path.with_name(path.name + ".tmp")


def sync_folder(path: Path) -> None:
    """Bring a folder's list of names to the disk, without which a new name may be lost."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
