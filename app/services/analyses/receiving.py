"""Taking scans in: each is decoded, stored as what is judged, and handed on."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from app.detection.decoding import DecodedScan, only_frame
from app.detection.series import SeriesPosition
from app.detection.spec import modality as spec_of
from app.engine.protocol import Engine
from app.errors import (
    LineFullError,
    ModalityUnavailableError,
    NotFoundError,
    QueueFullError,
    VeriscanError,
)
from app.records import Analysis, AnalysisStatus, User
from app.services.analyses.backlog import Backlog
from app.services.analyses.door import Door
from app.services.analyses.judging import JudgingService, done
from app.services.analyses.removal import AnalysisRemoval
from app.services.analyses.turns import FairTurns
from app.services.audit import AuditService
from app.services.decoding import pictures
from app.services.decoding.decoding import DecodingService
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture

NOBODY = UUID(int=0)
MAX_IN_LINE = 5000  # of one user; each takes some hundred kilobytes of disk
MAX_DECODED_AT_ONCE = 2  # one large scan takes several hundred megabytes while it is decoded

Begin = Callable[[Analysis, NDArray[np.float32]], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFile:
    """A scan as it comes in.

    Attributes:
        modality: Key of the modality that it is said to be.
        data: The whole file.
        frame: Which of its images, from 0.
        override_gate: Judge it even if it does not look like a scan of this modality.
    """

    modality: str
    data: bytes = field(repr=False)
    frame: int = 0
    override_gate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedScan:
    """A scan that was taken in.

    Attributes:
        frames: How many images its file holds.
        series: Where it stands in its series; None where its file does not say.
    """

    analysis: Analysis
    frames: int
    series: SeriesPosition | None


@dataclass(frozen=True, slots=True)
class Reception:
    """Those to whom a scan goes that is taken in.

    Attributes:
        engine: Judges the scans.
        decoding: Reads what is uploaded.
        store: Where the analyses are.
        images: Where their pictures are.
        audit: Where it is recorded who did what.
        judging: Hands the scans to the engine.
        backlog: Brings the waiting ones to it.
    """

    engine: Engine
    decoding: DecodingService
    store: AnalysisStore
    images: ImageStore
    audit: AuditService
    judging: JudgingService
    backlog: Backlog


class ScanReceiver:
    """Takes scans in; what fails on the way leaves nothing behind.

    Args:
        reception: To whom they go.
        removal: Takes back what was refused.
        admit: Raises an error of ours where the owner of a new analysis may not keep it.
    """

    def __init__(
        self,
        reception: Reception,
        removal: AnalysisRemoval,
        admit: Callable[[Analysis], None],
    ) -> None:
        self._engine = reception.engine
        self._decoder = reception.decoding
        self._store = reception.store
        self._images = reception.images
        self._audit = reception.audit
        self._judging = reception.judging
        self._backlog = reception.backlog
        self._removal = removal
        self._admit = admit
        self._decoding = FairTurns(MAX_DECODED_AT_ONCE)
        self._door = Door(reception.engine)

    def check_room(self) -> None:
        """Check that a scan could be queued now; see ``AnalysisService.check_room``."""
        self._door.check()

    def submit(self, user: User, file: ScanFile) -> Analysis:
        """Take a scan in and queue it; see ``AnalysisService.submit``."""
        with self._door.passage() as entering, self._decoding.turn_of(user.id):
            scan = only_frame(self._decoded(file))
            return self._taken_in(user, file, scan, partial(self._judging.begin, entering=entering))

    def accept(self, user: User, file: ScanFile) -> AcceptedScan:
        """Take a scan in however long the line is; see ``AnalysisService.accept``."""
        if self._store.count_unfinished(user.id) >= MAX_IN_LINE:
            raise LineFullError(MAX_IN_LINE)
        with self._decoding.turn_of(user.id):
            scan = self._decoded(file)
            analysis = self._taken_in(user, file, scan, self._begin_or_wait)
            return AcceptedScan(analysis=analysis, frames=scan.frames, series=scan.series)

    def _decoded(self, file: ScanFile) -> DecodedScan:
        spec = spec_of(file.modality)
        availability = self._engine.availability()[file.modality]
        if not availability.is_available:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        return self._decoder.decode(file.data, spec, frame=file.frame)

    def _taken_in(self, user: User, file: ScanFile, scan: DecodedScan, begin: Begin) -> Analysis:
        """Store a decoded scan and have it judged; what counts are the pixels that are kept."""
        pixels = pictures.quantised(scan.grey)
        analysis = new_analysis(user.id, file.modality, scan, override_gate=file.override_gate)
        drawn = {  # the scan last: where it is after a crash, everything is
            Picture.THUMBNAIL: pictures.thumbnail(pixels),
            Picture.SCAN: pictures.encoded(pixels),
        }
        analysis = replace(analysis, stored_bytes=sum(map(len, drawn.values())))
        with self._kept(analysis, drawn):
            begin(analysis, pictures.restored(pixels))
        self._audit.record(
            "analysis.submitted", actor=user.id, subject=str(analysis.id), modality=file.modality
        )
        return analysis

    def _begin_or_wait(self, analysis: Analysis, grey: NDArray[np.float32]) -> None:
        if self._backlog.has_room_now():
            with suppress(QueueFullError):
                self._judging.begin(analysis, grey)
                return
        self._judging.let_go(analysis.id)
        self._backlog.look()

    @contextmanager
    def _kept(self, analysis: Analysis, drawn: Mapping[Picture, bytes]) -> Iterator[None]:
        """Store a new analysis and its pictures; nothing of them stays if the body fails.

        The record comes first, so that no picture is ever without one, not even after a crash.
        """
        self._judging.hold(analysis.id)
        try:
            self._store.add(analysis)
        except BaseException:
            self._judging.let_go(analysis.id)
            raise
        try:
            self._images.put_all(analysis.id, drawn)
            # Only now: whoever deletes a user keeps them out first and then removes what they
            # have. An analysis is either seen there or stopped here, so none is left ownerless.
            self._admit(analysis)
            yield
        except BaseException:
            self._take_back(analysis.id)
            raise

    def _take_back(self, analysis_id: UUID) -> None:
        """Remove a scan that was refused; the error that led here is the one to tell."""
        try:
            with suppress(NotFoundError):  # its owner was deleted meanwhile, and it with them
                self._removal.remove_one(analysis_id)
            self._judging.let_go(analysis_id)
            self._removal.settle([analysis_id])
        except VeriscanError:
            log.exception("A refused scan could not be removed.")
            self._judging.let_go(analysis_id)
            self._backlog.look()  # so that it ends, if only as failed


def new_analysis(
    user_id: UUID, modality: str, scan: DecodedScan, *, override_gate: bool = False
) -> Analysis:
    """Return the queued analysis of a scan that has just been decoded."""
    return Analysis(
        id=uuid4(),
        user_id=user_id,
        modality=modality,
        status=AnalysisStatus.QUEUED,
        created=datetime.now(UTC),
        image_sha256=scan.sha256,
        image_format=scan.image_format,
        width=scan.width,
        height=scan.height,
        declared_synthetic=scan.declared_synthetic,
        burned_in_text=scan.burned_in_text,
        hounsfield=scan.hounsfield,
        override_gate=override_gate,
    )


def judge_without_keeping(
    engine: Engine,
    modality: str,
    data: bytes,
    decoding: DecodingService,
    *,
    override_gate: bool = False,
) -> Analysis:
    """Have a scan judged for nobody in particular; returns when it is done, and stores nothing.

    The finding is the same as after an upload.

    Raises:
        UploadError: The file cannot be judged.
        EngineError: The engine does not take it or fails on it.
    """
    scan = decoding.decode_single(data, spec_of(modality))
    grey = pictures.restored(pictures.quantised(scan.grey))
    judgement = engine.submit(modality, grey, override_gate=override_gate).result()
    analysis = new_analysis(NOBODY, modality, scan, override_gate=override_gate)
    return done(analysis, judgement.finding)
