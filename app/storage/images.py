"""The pictures of the analyses, as files named after the analysis and nothing else."""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from app.errors import NotFoundError, StorageError
from app.storage.encryption import HEADER_BYTES, ScanCipher
from app.storage.files import (
    PRIVATE_FOLDER_MODE,
    make_private_folder,
    replace_atomically,
    sync_folder,
    temporary_path,
    write_atomically,
)

FOLDER_NAME = "images"
FAN_OUT_CHARACTERS = 2

log = logging.getLogger(__name__)


class Picture(StrEnum):
    """Which picture of an analysis; the value is part of its file name."""

    SCAN = "scan"
    HEATMAP = "heatmap"
    THUMBNAIL = "thumbnail"


class ImageStore:
    """Keeps PNG files under ``images/`` in the data folder, spread over 256 folders.

    Args:
        data_dir: Folder that exists.
        cipher: Encrypts them; None keeps them plain.
    """

    def __init__(self, data_dir: Path, cipher: ScanCipher | None = None) -> None:
        self._root = (data_dir / FOLDER_NAME).resolve()
        self._cipher = cipher or ScanCipher(None)
        make_private_folder(self._root)

    def put(self, analysis_id: UUID, picture: Picture, png: bytes) -> None:
        """Keep a picture; replaces the one there may be.

        Raises:
            StorageError: It could not be written; nothing of it is left.
        """
        self.put_all(analysis_id, {picture: png})

    def put_all(self, analysis_id: UUID, pngs: Mapping[Picture, bytes]) -> None:
        """Keep pictures of an analysis, in this order, as ``put`` does.

        Raises:
            StorageError: One of them could not be written; those before it are there.
        """
        paths = [self._path(analysis_id, picture) for picture in pngs]
        sealed = [
            self._cipher.sealed(path.name, png)
            for path, png in zip(paths, pngs.values(), strict=True)
        ]
        folder = paths[0].parent
        with _reported("stored"), self._held(fcntl.LOCK_SH):
            if not folder.is_dir():
                folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
                sync_folder(self._root)
            for path, data in zip(paths, sealed, strict=True):
                replace_atomically(path, data)
            sync_folder(folder)

    def get(self, analysis_id: UUID, picture: Picture) -> bytes:
        """Return a picture.

        Raises:
            NotFoundError: There is none.
            StorageError: It is there but cannot be read.
        """
        name, stored = self.stored(analysis_id, picture)
        return self._cipher.opened(Path(name).name, stored)

    def stored(self, analysis_id: UUID, picture: Picture) -> tuple[str, bytes]:
        """Return the file of a picture as it lies on the disk: its path in the store, its bytes.

        Raises:
            NotFoundError: There is none.
            StorageError: It is there but cannot be read.
        """
        path = self._path(analysis_id, picture)
        with _reported("read"):
            try:
                return path.relative_to(self._root).as_posix(), path.read_bytes()
            except FileNotFoundError:
                raise NotFoundError("picture") from None

    def write_anew(self) -> Iterator[bool]:
        """Encrypt each picture with the present key, whatever it is now; can be done again.

        Yields:
            For each picture whether that was needed.

        Raises:
            StorageError: One of them cannot be read, opened or written; it is as it was.
        """
        for folder in sorted(self._root.iterdir()):
            for path in sorted(folder.glob("*.png")):
                # Whoever removes a picture waits meanwhile: it must not be there again afterwards.
                with _reported("written anew"), self._held(fcntl.LOCK_EX):
                    was_needed = self._written_anew(path)
                yield was_needed

    def delete(self, analysis_id: UUID) -> None:
        """Remove all pictures of an analysis; those that are not there do not matter.

        Raises:
            StorageError: One of them cannot be removed.
        """
        with _reported("removed"), self._held(fcntl.LOCK_SH):
            for picture in Picture:
                self._path(analysis_id, picture).unlink(missing_ok=True)

    def delete_unfinished(self, analysis_id: UUID) -> None:
        """Remove what a crash left of pictures that were being written.

        Raises:
            StorageError: One of them cannot be removed.
        """
        with _reported("removed"), self._held(fcntl.LOCK_SH):
            for picture in Picture:
                temporary_path(self._path(analysis_id, picture)).unlink(missing_ok=True)

    def _written_anew(self, path: Path) -> bool:
        if not path.resolve().is_relative_to(self._root):
            return False
        try:
            with path.open("rb") as file:
                if self._cipher.is_current(head := file.read(HEADER_BYTES)):
                    return False
                plain = self._cipher.opened(path.name, head + file.read())
        except FileNotFoundError:  # removed meanwhile
            return False
        write_atomically(path, self._cipher.sealed(path.name, plain))
        return True

    @contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        """Hold the lock of the store, in all processes: shared, or alone to write anew."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)  # which frees the lock

    def _path(self, analysis_id: UUID, picture: Picture) -> Path:
        """Return where a picture lies, having made sure that it is inside the store.

        Raises:
            TypeError: The id is not a UUID. Text from a client never becomes part of a path.
            StorageError: A link leads out of the store.
        """
        if not isinstance(analysis_id, UUID):
            raise TypeError(f"expected a UUID, got {type(analysis_id).__name__}")
        name = analysis_id.hex
        path = self._root / name[:FAN_OUT_CHARACTERS] / f"{name}.{Picture(picture).value}.png"
        if not path.resolve().is_relative_to(self._root):
            log.error("a link in the image store leads out of it")
            raise StorageError("The picture is not where it belongs. Tell the administrator.")
        return path


@contextmanager
def _reported(done: str) -> Iterator[None]:
    """Turn an error of the file system into one of ours, which names no path."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The picture cannot be {done} ({error.strerror}). Tell the administrator."
        ) from error
