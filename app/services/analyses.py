"""Analyses: taking a scan in, having it judged, and finding it again."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import BoundedSemaphore
from uuid import UUID, uuid4

from app.detection.decoding import DecodedScan, decode
from app.detection.limits import DecodingLimits
from app.detection.spec import modality as spec_of
from app.engine.protocol import Availability, Engine
from app.errors import ModalityUnavailableError, NotFoundError, VeriscanError
from app.records import Analysis, AnalysisStatus, Role, User
from app.services import pictures
from app.services.judging import JudgingService, done
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture

NOBODY = UUID(int=0)
MAX_DECODED_AT_ONCE = 2  # one large scan takes several hundred megabytes while it is decoded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """One page of a user's analyses, newest first.

    Attributes:
        page: Its number, from 1.
        per_page: How many a page holds at most.
        total: How many there are on all pages.
    """

    analyses: tuple[Analysis, ...]
    page: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least 1."""
        return max(1, -(-self.total // self.per_page))


class AnalysisService:
    """Takes scans in, hands them to the engine and keeps what it found.

    The uploaded file itself is not kept, since its header may name the patient: what is stored is
    a picture of the very grey values that are judged.

    Args:
        engine: Judges the scans.
        store: Where the analyses are.
        images: Where their pictures are.
        limits: What an upload may cost.
    """

    def __init__(
        self, engine: Engine, store: AnalysisStore, images: ImageStore, limits: DecodingLimits
    ) -> None:
        self._engine = engine
        self._store = store
        self._images = images
        self._limits = limits
        self._judging = JudgingService(engine, store, images)
        self._decoding = BoundedSemaphore(MAX_DECODED_AT_ONCE)

    def modalities(self) -> Mapping[str, Availability]:
        """Return for every known modality, by key, whether it can be judged now."""
        return self._engine.availability()

    # --- taking a scan in -------------------------------------------------------------------

    def submit(
        self, user: User, modality: str, data: bytes, *, override_gate: bool = False
    ) -> Analysis:
        """Take a scan in and queue it; returns at once.

        Args:
            user: To whom the analysis belongs.
            modality: Key of the modality.
            data: The whole file as uploaded.
            override_gate: Judge it even if it does not look like a scan of this modality.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
            UploadError: The file cannot be judged; its message is for the user.
            QueueFullError: Too many scans are waiting; nothing was kept.
            StorageError: The scan could not be stored; nothing was kept.
        """
        spec = spec_of(modality)
        availability = self._engine.availability()[modality]
        if not availability.is_available:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        with self._decoding:
            scan = decode(data, spec, self._limits)
            pixels = pictures.quantised(scan.grey)
            analysis = new_analysis(user.id, modality, scan, override_gate=override_gate)
            del scan  # the grey values that count are those of the pixels that are kept
            drawn = {
                Picture.SCAN: pictures.encoded(pixels),
                Picture.THUMBNAIL: pictures.thumbnail(pixels),
            }
            with self._kept(analysis, drawn):
                self._judging.begin(analysis, pictures.restored(pixels))
        return analysis

    @contextmanager
    def _kept(self, analysis: Analysis, drawn: Mapping[Picture, bytes]) -> Iterator[None]:
        """Store a new analysis and its pictures; nothing of them stays if the body fails.

        The record comes first, so that no picture is ever without one, not even after a crash.
        """
        self._store.add(analysis)
        try:
            for picture, png in drawn.items():
                self._images.put(analysis.id, picture, png)
            yield
        except BaseException:
            self._discard(analysis.id)
            raise

    def _discard(self, analysis_id: UUID) -> None:
        try:
            self._remove(analysis_id)
        except VeriscanError:  # the error that led here is the one to tell
            log.exception("A refused scan could not be removed.")

    def judge_anyway(self, user: User, analysis_id: UUID) -> Analysis:
        """Have a scan judged that does not look like its modality; returns at once.

        That its owner asked for it stays with the analysis. One that was judged already, or is
        being judged, is left alone.

        Raises:
            NotFoundError: It does not exist or is not the user's own.
            ScanMissingError: Its picture is gone.
            EngineError: The engine does not take it; the analysis is as it was.
        """
        analysis = self._store.get(analysis_id)
        if analysis.user_id != user.id:
            raise NotFoundError("analysis")
        if not analysis.is_not_judged:
            return analysis
        return self._judging.begin_again(analysis)

    # --- finding it again -------------------------------------------------------------------

    def wait(self, analysis_id: UUID, timeout_s: float) -> Analysis:
        """Return the analysis when it is finished, or as it is after ``timeout_s`` seconds.

        Raises:
            NotFoundError: It does not exist, or was deleted in the meantime.
        """
        self._judging.wait(analysis_id, timeout_s)
        return self._current(self._store.get(analysis_id))

    def get(self, viewer: User, analysis_id: UUID) -> Analysis:
        """Return an analysis to its owner or to an admin.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see: no telling which.
        """
        analysis = self._store.get(analysis_id)
        if analysis.user_id != viewer.id and viewer.role is not Role.ADMIN:
            raise NotFoundError("analysis")
        return self._current(analysis)

    def history(self, viewer: User, *, page: int = 1, per_page: int = 20) -> HistoryPage:
        """Return a page of the viewer's own analyses, newest first; a page too far is empty."""
        page = max(1, page)
        total = self._store.count_of_user(viewer.id)
        offset = (page - 1) * per_page
        found = (
            self._store.page_of_user(viewer.id, offset=offset, limit=per_page)
            if offset < total  # a page number from a URL may be too large for the database
            else []
        )
        return HistoryPage(
            analyses=tuple(self._current(analysis) for analysis in found),
            page=page,
            per_page=per_page,
            total=total,
        )

    def scan_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the scan as it was judged, as a greyscale PNG of 8 or 16 bits.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see.
        """
        return self._images.get(self.get(viewer, analysis_id).id, Picture.SCAN)

    def thumbnail_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the scan small, as a greyscale PNG of at most 112 pixels a side.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see.
        """
        return self._images.get(self.get(viewer, analysis_id).id, Picture.THUMBNAIL)

    def heatmap_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the evidence for FAKE as an RGBA PNG to be laid over the scan.

        Its aspect ratio is the scan's. Transparent where nothing speaks for a fake.

        Raises:
            NotFoundError: It does not exist (yet), since the scan is not judged, or is not the
                viewer's to see.
        """
        analysis = self.get(viewer, analysis_id)
        if analysis.status is not AnalysisStatus.DONE:
            raise NotFoundError("heatmap")
        evidence = pictures.restored(
            pictures.decoded(self._images.get(analysis.id, Picture.HEATMAP))
        )
        return pictures.overlay(evidence, analysis.width, analysis.height)

    def _current(self, analysis: Analysis) -> Analysis:
        """Return an analysis that says whether it is in the network now, which is not stored."""
        if analysis.status is AnalysisStatus.QUEUED and self._judging.is_running(analysis.id):
            return replace(analysis, status=AnalysisStatus.RUNNING)
        return analysis

    # --- removing it ------------------------------------------------------------------------

    def delete(self, viewer: User, analysis_id: UUID) -> None:
        """Remove an analysis with its scan and heatmap, for good.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to delete.
        """
        self._remove(self.get(viewer, analysis_id).id)

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove all analyses of a user."""
        for analysis_id in self._store.ids_of_user(user_id):
            try:
                self._remove(analysis_id)
            except NotFoundError:
                log.info("An analysis was removed twice at once.")

    def _remove(self, analysis_id: UUID) -> None:
        self._judging.cancel(analysis_id)
        self._images.delete(analysis_id)
        self._store.delete(analysis_id)
        # A judgement that came in between has left a heatmap; later ones find no record.
        self._images.delete(analysis_id)

    # --- starting and stopping --------------------------------------------------------------

    def resume(self) -> None:
        """Take up, in the background, the analyses that a restart interrupted; returns at once."""
        self._judging.resume()

    def close(self) -> None:
        """Store what the engine has finished. No scan is judged afterwards."""
        self._judging.close()


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
        override_gate=override_gate,
    )


def judge_without_keeping(
    engine: Engine,
    modality: str,
    data: bytes,
    limits: DecodingLimits,
    *,
    override_gate: bool = False,
) -> Analysis:
    """Have a scan judged for nobody in particular; returns when it is done, and stores nothing.

    The finding is the same as after an upload.

    Raises:
        UploadError: The file cannot be judged.
        EngineError: The engine does not take it or fails on it.
    """
    scan = decode(data, spec_of(modality), limits)
    grey = pictures.restored(pictures.quantised(scan.grey))
    judgement = engine.submit(modality, grey, override_gate=override_gate).result()
    analysis = new_analysis(NOBODY, modality, scan, override_gate=override_gate)
    return done(analysis, judgement.finding)
