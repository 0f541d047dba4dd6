"""Reads uploaded files: single images at once, what holds several images in the background.

An archive is read from an unnamed temporary file that is gone when this process ends: a file as it
was sent, with what its header says of a patient, is never kept.
"""

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import BinaryIO
from uuid import UUID

from app.errors import (
    InferenceFailedError,
    NotFoundError,
    ReadingInterruptedError,
    TooMuchToUnpackError,
    UploadError,
    VeriscanError,
)
from app.records import FileState, Upload, UploadedFile, User
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.receiving import AcceptedScan, ScanFile
from app.services.decoding.archives import Archive, ArchiveLimits, Member, is_archive
from app.services.uploads.files import frame_of, new_file, refused, taken
from app.storage.studies import StudyStore
from app.storage.uploads import UploadStore

MAX_JOBS = 16
"""Each is read by a thread of its own. They decode by turns, user by user, so that somebody with
one file does not wait for the whole archives of others."""
MAX_JOBS_OF_USER = 8
HEAD_BYTES = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A file that is to be read, and for whom.

    Attributes:
        file: What is known of it.
        stream: Its bytes, from the start; may be moved about in. Whoever reads it closes it.
    """

    user: User
    upload: Upload
    file: UploadedFile
    stream: BinaryIO = field(repr=False)

    @property
    def is_archive(self) -> bool:
        """Whether it begins like a zip archive."""
        head = self.stream.read(HEAD_BYTES)
        self.stream.seek(0, io.SEEK_SET)
        return is_archive(head)

    def holding(self, images: int) -> "Delivery":
        """Return it with the number of images that the file turned out to hold."""
        return replace(self, file=replace(self.file, holds=images))


class UploadReader:
    """Turns files into analyses, and those of one series into a study.

    Args:
        analyses: Takes single scans in.
        store: Which files came together.
        studies: Which scans belong together.
        limits: What an archive may cost.
    """

    def __init__(
        self,
        analyses: AnalysisService,
        store: UploadStore,
        studies: StudyStore,
        limits: ArchiveLimits,
    ) -> None:
        self._analyses = analyses
        self._store = store
        self._studies = studies
        self._limits = limits
        self._lock = Lock()
        self._jobs: Counter[UUID] = Counter()  # by user
        self._has_resumed = False
        self._closing = Event()
        self._readers = ThreadPoolExecutor(MAX_JOBS, thread_name_prefix="veriscan-reader")

    def read_now(self, delivery: Delivery) -> UploadedFile:
        """Take in a single image, of which nothing is stored yet; what holds more is read later.

        Returns:
            The file as it is now.

        Raises:
            UploadError: It cannot be judged; nothing was kept.
            BusyError: Not now; nothing was kept.
            VeriscanError: It could not be stored; nothing was kept.
        """
        if delivery.is_archive:
            self.read_later(delivery.user, [delivery])
            return delivery.file
        with delivery.stream:
            data = self._all_of(delivery.stream)
        first = self._accept(delivery, data)
        if first.frames == 1:
            return self._keep(delivery, taken(delivery.file, first), self._store.add_file)
        whole = delivery.holding(first.frames)
        try:
            self._run_later(delivery.user, [whole], lambda: self._read_frames(whole, data, first))
        except BaseException:
            self._analyses.delete(delivery.user, first.analysis.id)
            raise
        return whole.file

    def read_later(self, user: User, deliveries: list[Delivery]) -> None:
        """Take files of a user in, of which nothing is stored yet; returns at once.

        Raises:
            TooMuchToUnpackError: Too much is being read already.
            StorageError: The database failed.
        """
        self._run_later(user, deliveries, lambda: self._read_all(deliveries))

    def resume(self) -> None:
        """Say of what was being read when the server stopped that it was not read to its end."""
        with self._lock:
            if self._has_resumed:
                return
            for file in self._store.being_read():
                self._store.update_file(refused(file, ReadingInterruptedError()))
            self._has_resumed = True

    def close(self) -> None:
        """Stop reading; what was taken in is kept."""
        self._closing.set()
        self._readers.shutdown(wait=True)

    # --- in the background ------------------------------------------------------------------

    def _run_later(self, user: User, deliveries: list[Delivery], job: Callable[[], None]) -> None:
        """Store that files are being read, and have that done."""
        with self._lock:
            if self._jobs.total() >= MAX_JOBS or self._jobs[user.id] >= MAX_JOBS_OF_USER:
                raise TooMuchToUnpackError
            self._jobs[user.id] += 1
        try:
            for delivery in deliveries:
                self._store.add_file(delivery.file)
            # With the context of the request, so that the audit trail says who asked, and how.
            self._readers.submit(copy_context().run, self._run, user, job)
        except BaseException:
            self._count_out(user)
            raise

    def _run(self, user: User, job: Callable[[], None]) -> None:
        try:
            job()
        except NotFoundError:
            log.info("An upload was forgotten while it was read.")
        except Exception:
            log.exception("An upload could not be read to its end.")
        finally:
            self._count_out(user)

    def _count_out(self, user: User) -> None:
        with self._lock:
            self._jobs[user.id] -= 1
            self._jobs += Counter()  # which leaves out those who have none

    def _read_all(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            with delivery.stream:
                self._guarded(delivery, lambda found: self._read(found, found.stream))

    def _guarded(self, delivery: Delivery, read: Callable[[Delivery], None]) -> None:
        """Read a file that is stored as being read; if that fails, say so of this one alone.

        Raises:
            NotFoundError: The upload was forgotten.
        """
        try:
            if self._closing.is_set():
                raise ReadingInterruptedError
            read(delivery)
        except NotFoundError:
            raise
        except VeriscanError as error:
            self._store.update_file(refused(delivery.file, error))
        except Exception:
            log.exception("An uploaded file could not be read.")
            self._store.update_file(refused(delivery.file, InferenceFailedError()))

    def _read(self, delivery: Delivery, stream: BinaryIO) -> None:
        if delivery.is_archive:
            self._read_archive(delivery, Archive(stream, self._limits))
        else:
            self._read_image(delivery, self._all_of(stream))

    def _read_archive(self, delivery: Delivery, archive: Archive) -> None:
        whole = delivery.holding(len(archive))
        self._store.update_file(whole.file)
        problem = None
        try:
            for number, member in enumerate(archive.members(), start=1):
                if self._closing.is_set():
                    raise ReadingInterruptedError
                self._read_member(whole, number, member)
        except UploadError as error:
            problem = str(error)
        self._store.update_file(replace(whole.file, state=FileState.TAKEN, problem=problem))

    def _read_member(self, archive: Delivery, number: int, member: Member) -> None:
        file = new_file(archive.upload, member.name, number)
        delivery = replace(archive, file=replace(file, parent_id=archive.file.id))
        if member.error is not None:
            self._store.add_file(refused(delivery.file, member.error))
            return
        self._store.add_file(delivery.file)
        self._guarded(delivery, lambda found: self._read_image(found, member.data))

    def _read_image(self, delivery: Delivery, data: bytes) -> None:
        first = self._accept(delivery, data)
        if first.frames == 1:
            self._keep(delivery, taken(delivery.file, first), self._store.update_file)
            return
        whole = delivery.holding(first.frames)
        self._store.update_file(whole.file)
        self._read_frames(whole, data, first)

    def _read_frames(self, whole: Delivery, data: bytes, first: AcceptedScan) -> None:
        """Take in the frames of a file, of which the first was taken in already."""
        problem = None
        self._keep_frame(whole, 0, first)
        for frame in range(1, min(first.frames, self._limits.max_members)):
            if self._closing.is_set():
                problem = str(ReadingInterruptedError())
                break
            try:
                self._keep_frame(whole, frame, self._accept(whole, data, frame))
            except NotFoundError:
                raise
            except VeriscanError as error:
                self._store.add_file(refused(frame_of(whole.upload, whole.file, frame), error))
        self._store.update_file(replace(whole.file, state=FileState.TAKEN, problem=problem))

    def _keep_frame(self, whole: Delivery, frame: int, accepted: AcceptedScan) -> None:
        file = taken(frame_of(whole.upload, whole.file, frame), accepted)
        file = replace(file, series=f"file:{whole.file.id.hex}", number=frame + 1)
        self._keep(whole, file, self._store.add_file)

    # --- one image --------------------------------------------------------------------------

    def _accept(self, delivery: Delivery, data: bytes, frame: int = 0) -> AcceptedScan:
        scan = ScanFile(modality=delivery.upload.modality, data=data, frame=frame)
        return self._analyses.accept(delivery.user, scan)

    def _keep(
        self, delivery: Delivery, file: UploadedFile, store: Callable[[UploadedFile], None]
    ) -> UploadedFile:
        """Store what became of a file whose scan was taken in, or take the scan back."""
        try:
            store(file)
            if file.series is not None:
                self._studies.gather(file)
        except VeriscanError:
            if file.analysis_id is not None:
                self._analyses.delete(delivery.user, file.analysis_id)
            raise
        return file

    def _all_of(self, stream: BinaryIO) -> bytes:
        """Return a file's bytes; of one that is too large, enough that it is seen to be."""
        return stream.read(self._limits.max_member_bytes + 1)
