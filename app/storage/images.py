"""The pictures of the analyses, as files named after the analysis and nothing else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from app.errors import NotFoundError, StorageError
from app.storage.files import make_private_folder, sync_folder, write_atomically

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
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = (data_dir / FOLDER_NAME).resolve()
        make_private_folder(self._root)

    def put(self, analysis_id: UUID, picture: Picture, png: bytes) -> None:
        """Keep a picture; replaces the one there may be.

        Raises:
            StorageError: It could not be written; nothing of it is left.
        """
        path = self._path(analysis_id, picture)
        with _reported("stored"):
            if not path.parent.is_dir():
                make_private_folder(path.parent)
                sync_folder(self._root)
            write_atomically(path, png)

    def get(self, analysis_id: UUID, picture: Picture) -> bytes:
        """Return a picture.

        Raises:
            NotFoundError: There is none.
            StorageError: It is there but cannot be read.
        """
        with _reported("read"):
            try:
                return self._path(analysis_id, picture).read_bytes()
            except FileNotFoundError:
                raise NotFoundError("picture") from None

    def delete(self, analysis_id: UUID) -> None:
        """Remove all pictures of an analysis; those that are not there do not matter.

        Raises:
            StorageError: One of them cannot be removed.
        """
        with _reported("removed"):
            for picture in Picture:
                self._path(analysis_id, picture).unlink(missing_ok=True)

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
