"""Uploads: files that are sent together become analyses and studies, however they are packed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO
from uuid import UUID, uuid4

from app.detection.spec import modality as spec_of
from app.errors import ModalityUnavailableError, NotFoundError, TooManyFilesError, UploadError
from app.records import FileState, Upload, UploadedFile, User
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.studies import StudyService
from app.services.audit import AuditService
from app.services.uploads.files import new_file, refused
from app.services.uploads.progress import UploadProgress, lines_of
from app.services.uploads.reader import Delivery, UploadReader
from app.storage.analyses import AnalysisStore
from app.storage.studies import StudyStore
from app.storage.uploads import UploadStore

MAX_FILES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingFile:
    """A file as it comes in.

    Attributes:
        name: What its sender calls it; only ever shown, to the sender.
        stream: Its bytes, from the start; may be moved about in. It is closed after it was read.
        number: Its place among the files that are sent together, from 1; 0 for the next.
    """

    name: str
    number: int = 0
    stream: BinaryIO = field(repr=False)


class UploadService:
    """Takes files in that are sent together, and says what became of them.

    Args:
        reader: Reads the files.
        analyses: The scans that they became.
        studies: The series that they became.
        stores: Where it is kept which files came together.
        audit: Where it is recorded who did what.
    """

    def __init__(
        self,
        reader: UploadReader,
        analyses: AnalysisService,
        studies: StudyService,
        stores: "UploadStores",
        audit: AuditService,
    ) -> None:
        self._reader = reader
        self._analyses = analyses
        self._studies = studies
        self._store = stores.uploads
        self._stores = stores
        self._audit = audit

    # --- taking files in --------------------------------------------------------------------

    def begin(self, user: User, modality: str) -> Upload:
        """Begin an upload, to which files can be added.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
        """
        spec = spec_of(modality)
        availability = self._analyses.modalities()[modality]
        if not availability.is_available:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        upload = Upload(id=uuid4(), user_id=user.id, modality=modality, created=datetime.now(UTC))
        self._store.add(upload)
        return upload

    def add(self, user: User, upload_id: UUID, incoming: IncomingFile) -> UploadedFile:
        """Take in a file; what holds several images goes on being read in the background.

        Returns:
            The file as it is now; one that cannot be judged is kept too, as refused.

        Raises:
            NotFoundError: There is no such upload, or it is somebody else's.
            EngineError: No scan of this kind can be taken in at present, or no more of this user.
            StorageError: The file could not be stored; nothing was kept.
        """
        upload = self.own(user, upload_id)
        count = self._store.count_files(upload_id) + 1
        if max(count, incoming.number) > MAX_FILES:
            raise TooManyFilesError(MAX_FILES)
        file = new_file(upload, incoming.name, incoming.number or count)
        try:
            return self._reader.read_now(
                Delivery(user=user, upload=upload, file=file, stream=incoming.stream)
            )
        except UploadError as error:
            incoming.stream.close()
            unread = refused(file, error)
            self._store.add_file(unread)
            return unread

    def add_alone(self, user: User, modality: str, incoming: IncomingFile) -> UploadedFile:
        """Take in a file as an upload of its own, or nothing at all.

        Returns:
            The file as it is now.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
            UploadError: It cannot be judged.
            StorageError: It could not be stored.
        """
        upload = self.begin(user, modality)
        file = new_file(upload, incoming.name, 1)
        try:
            return self._reader.read_now(
                Delivery(user=user, upload=upload, file=file, stream=incoming.stream)
            )
        except BaseException:
            self._store.delete(upload.id)
            raise

    def add_later(self, user: User, upload_id: UUID, incoming: Sequence[IncomingFile]) -> None:
        """Take in several files in the background; returns at once.

        Raises:
            NotFoundError: There is no such upload, or it is somebody else's.
            TooManyFilesError: These are more than may be sent together.
            TooMuchToUnpackError: Too much is being read already.
            StorageError: The database failed.
        """
        upload = self.own(user, upload_id)
        before = self._store.count_files(upload_id)
        if before + len(incoming) > MAX_FILES:
            raise TooManyFilesError(MAX_FILES)
        self._reader.read_later(
            user,
            [
                Delivery(
                    user=user,
                    upload=upload,
                    file=new_file(upload, file.name, before + number),
                    stream=file.stream,
                )
                for number, file in enumerate(incoming, start=1)
            ],
        )

    # --- how far it is ----------------------------------------------------------------------

    def own(self, user: User, upload_id: UUID) -> Upload:
        """Return an upload to whoever sent it; the names in it are for nobody else.

        Raises:
            NotFoundError: It does not exist or is not the user's: no telling which.
        """
        upload = self._store.get(upload_id)
        if upload.user_id != user.id:
            raise NotFoundError("upload")
        return upload

    def latest(self, user: User, limit: int) -> list[Upload]:
        """Return a user's latest uploads, newest first."""
        return self._store.latest_of_user(user.id, limit)

    def progress(self, user: User, upload_id: UUID) -> UploadProgress:
        """Return how far an upload is, to whoever sent it.

        Raises:
            NotFoundError: It does not exist or is not the user's: no telling which.
        """
        upload = self.own(user, upload_id)
        files = self._store.files(upload_id)
        in_study = self._stores.studies.analyses_of_upload(upload_id)
        summaries = self._studies.summaries(self._stores.studies.of_upload(upload_id))
        single = {f.analysis_id for f in files if f.analysis_id} - in_study
        analyses = self._stores.analyses.of_ids(single)
        current = {key: self._analyses.current(found) for key, found in analyses.items()}
        return UploadProgress(upload=upload, lines=lines_of(files, summaries, current))

    # --- forgetting -------------------------------------------------------------------------

    def forget(self, user: User, upload_id: UUID) -> None:
        """Forget which files came with an upload and their names; their analyses stay.

        One that is being read is left alone.

        Raises:
            NotFoundError: There is no such upload, or it is somebody else's.
        """
        self.own(user, upload_id)
        if any(file.state is FileState.READING for file in self._store.files(upload_id)):
            return
        self._store.delete(upload_id)
        self._audit.record("upload.forgotten", actor=user.id, subject=str(upload_id))

    def delete_of_user(self, user_id: UUID) -> None:
        """Forget all uploads of a user; what is being read of them is read no further."""
        self._store.delete_of_user(user_id)

    # --- starting and stopping --------------------------------------------------------------

    def resume(self) -> None:
        """Say of what was being read when the server stopped that it was not read to its end."""
        self._reader.resume()

    def close(self) -> None:
        """Stop reading; what was taken in is kept."""
        self._reader.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStores:
    """Where the parts of an upload are kept."""

    uploads: UploadStore
    studies: StudyStore
    analyses: AnalysisStore
