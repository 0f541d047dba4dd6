"""Scans as they come in with a form: read whole, but never more of them than is allowed."""

from dataclasses import dataclass

from werkzeug.datastructures import FileStorage

from app.errors import UploadError, VeriscanError
from app.records import Analysis, User
from app.web.context import services

MAX_FILES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFile:
    """A file that did not become an analysis.

    Attributes:
        name: What its sender calls it; shown to the sender in this answer and kept nowhere.
        error: Why.
    """

    name: str
    error: VeriscanError


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What became of the files of one form."""

    accepted: tuple[Analysis, ...]
    refused: tuple[RefusedFile, ...]


def read_upload(file: FileStorage) -> bytes:
    """Return the file's bytes; of a file that is too large, enough that it is seen to be."""
    return file.stream.read(services().settings.max_upload_bytes + 1)


def take_in(user: User, modality: str, files: list[FileStorage]) -> Intake:
    """Submit each file; one that is refused does not stop the others.

    Raises:
        UnknownModalityError: There is no such modality.
        ModalityUnavailableError: No checkpoint serves it.
        QueueFullError: Too many scans are waiting and none of these was taken in.
    """
    accepted: list[Analysis] = []
    refused: list[RefusedFile] = []
    for file in files:
        try:
            accepted.append(services().analyses.submit(user, modality, read_upload(file)))
        except UploadError as error:
            refused.append(RefusedFile(name=file.filename or "", error=error))
        except VeriscanError as error:
            if not accepted:
                raise
            refused.append(RefusedFile(name=file.filename or "", error=error))
    return Intake(accepted=tuple(accepted), refused=tuple(refused))
