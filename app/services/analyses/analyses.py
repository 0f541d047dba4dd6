"""Analyses: having a scan judged, finding it again, and deleting it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from threading import Lock
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.engine.protocol import Availability, Engine, Judgement
from app.errors import NotFoundError
from app.records import Analysis, AnalysisStatus, Role, User
from app.services.analyses.backlog import Backlog
from app.services.analyses.history_page import HistoryPage
from app.services.analyses.judging import JudgingService
from app.services.analyses.receiving import AcceptedScan, Reception, ScanFile, ScanReceiver
from app.services.analyses.removal import AnalysisRemoval
from app.services.audit import AuditService
from app.services.decoding import pictures
from app.services.decoding.decoding import DecodingService
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture


class AnalysisService:
    """Takes scans in, hands them to the engine and keeps what it found.

    The uploaded file itself is not kept, since its header may name the patient: what is stored is
    a picture of the very grey values that are judged.

    Args:
        engine: Judges the scans.
        store: Where the analyses are.
        images: Where their pictures are.
        decoding: Reads what is uploaded.
        audit: Where it is recorded who did what.
        admit: Raises an error of ours where the owner of a new analysis may not keep it.

    Attributes:
        removal: Removes analyses for those who have checked that they may.
    """

    def __init__(
        self,
        engine: Engine,
        store: AnalysisStore,
        images: ImageStore,
        decoding: DecodingService,
        audit: AuditService,
        *,
        admit: Callable[[Analysis], None],
    ) -> None:
        self._engine = engine
        self._store = store
        self._images = images
        self._audit = audit
        self._judging = JudgingService(engine, store, images, audit)
        self._backlog = Backlog(engine, store, self._judging)
        self._resuming = Lock()
        self.removal = AnalysisRemoval(store, images, self._judging, audit)
        self._receiver = ScanReceiver(
            Reception(engine, decoding, store, images, audit, self._judging, self._backlog),
            self.removal,
            admit,
        )

    def modalities(self) -> Mapping[str, Availability]:
        """Return for every known modality, by key, whether it can be judged now."""
        return self._engine.availability()

    def supervise(
        self,
        watch: Callable[[Analysis, NDArray[np.float32]], None],
        adjusted: Callable[[str, Judgement], Judgement],
    ) -> None:
        """Let others see each scan that is being judged, and adjust each judgement.

        Args:
            watch: Is given each scan once the engine has it.
            adjusted: Gives a judgement, by modality, the form in which this site keeps it.
        """
        self._judging.watch = watch
        self._judging.adjusted = adjusted

    # --- taking a scan in -------------------------------------------------------------------

    def check_room(self) -> None:
        """Check that ``submit`` would find a place in the queue, before anything is spent on it.

        Raises:
            QueueFullError: Too many scans are waiting.
            EngineStoppedError: The engine has been stopped.
        """
        self._receiver.check_room()

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
            AccountInactiveError: The user was deactivated or deleted meanwhile; nothing was kept.
        """
        file = ScanFile(modality=modality, data=data, override_gate=override_gate)
        return self._receiver.submit(user, file)

    def accept(self, user: User, file: ScanFile) -> AcceptedScan:
        """Take a scan in however long the line is; it is judged when its turn comes.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
            UploadError: The file cannot be judged; its message is for the user.
            LineFullError: The user has too many scans in line.
            StorageError: The scan could not be stored; nothing was kept.
        """
        return self._receiver.accept(user, file)

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
        begun = self._judging.begin_again(analysis)
        self._audit.record("analysis.gate_overridden", actor=user.id, subject=str(analysis_id))
        return begun

    # --- finding it again -------------------------------------------------------------------

    def wait(self, analysis_id: UUID, timeout_s: float) -> Analysis:
        """Return the analysis when it is finished, or as it is after ``timeout_s`` seconds.

        Raises:
            NotFoundError: It does not exist, or was deleted in the meantime.
        """
        self._judging.wait(analysis_id, timeout_s)
        return self.current(self._store.get(analysis_id))

    def get(self, viewer: User, analysis_id: UUID) -> Analysis:
        """Return an analysis to its owner or to an admin.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see: no telling which.
        """
        analysis = self._store.get(analysis_id)
        if analysis.user_id != viewer.id and viewer.role is not Role.ADMIN:
            raise NotFoundError("analysis")
        return self.current(analysis)

    def open(self, viewer: User, analysis_id: UUID) -> Analysis:
        """Return an analysis to somebody who reads its verdict, which is recorded; see ``get``.

        Raises:
            NotFoundError: As in ``get``.
        """
        analysis = self.get(viewer, analysis_id)
        if analysis.status.is_final:
            self._audit.record("analysis.viewed", actor=viewer.id, subject=str(analysis_id))
        return analysis

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
            analyses=tuple(self.current(analysis) for analysis in found),
            page=page,
            per_page=per_page,
            total=total,
        )

    def scan_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the scan as it was judged, as a greyscale PNG of 8 or 16 bits.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see.
        """
        return self._picture(self.get(viewer, analysis_id), viewer, Picture.SCAN)

    def thumbnail_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the scan small, as a greyscale PNG of at most 112 pixels a side.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see.
        """
        return self._picture(self.get(viewer, analysis_id), viewer, Picture.THUMBNAIL)

    def heatmap_png(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the evidence for FAKE as a PNG to be laid over the scan.

        Its aspect ratio is the scan's. Transparent where nothing speaks for a fake.

        Raises:
            NotFoundError: It does not exist (yet), since the scan is not judged, or is not the
                viewer's to see.
        """
        analysis = self.get(viewer, analysis_id)
        if analysis.status is not AnalysisStatus.DONE:
            raise NotFoundError("heatmap")
        evidence = pictures.restored(
            pictures.decoded(self._picture(analysis, viewer, Picture.HEATMAP))
        )
        return pictures.overlay(evidence, analysis.width, analysis.height)

    def _picture(self, analysis: Analysis, viewer: User, picture: Picture) -> bytes:
        """Return a picture; that somebody looks at another user's scan is recorded."""
        png = self._images.get(analysis.id, picture)
        if analysis.user_id != viewer.id:
            self._audit.record(
                "analysis.viewed", actor=viewer.id, subject=str(analysis.id), picture=picture.value
            )
        return png

    def current(self, analysis: Analysis) -> Analysis:
        """Return an analysis that says whether it is in the network now, which is not stored."""
        if analysis.status is AnalysisStatus.QUEUED and self._judging.is_running(analysis.id):
            return replace(analysis, status=AnalysisStatus.RUNNING)
        return analysis

    def visible(self, viewer: User, analysis_ids: Collection[UUID]) -> list[Analysis]:
        """Return those of some analyses that exist and are the viewer's to see.

        That somebody so learns the verdict on another user's scan is recorded.
        """
        found = [
            self.current(analysis)
            for analysis in self._store.of_ids(analysis_ids).values()
            if analysis.user_id == viewer.id or viewer.role is Role.ADMIN
        ]
        for analysis in found:
            if analysis.user_id != viewer.id and analysis.status.is_final:
                self._audit.record("analysis.viewed", actor=viewer.id, subject=str(analysis.id))
        return found

    def place_in_line(self, analysis_id: UUID) -> int:
        """Return a scan's place in line, from 1; 0 where it does not wait (any more)."""
        return self._backlog.place_of(analysis_id)

    # --- removing it ------------------------------------------------------------------------

    def delete(self, viewer: User, analysis_id: UUID) -> None:
        """Remove an analysis with its scan and heatmap, for good.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to delete.
        """
        self.removal.remove_one(self.get(viewer, analysis_id).id)
        self._audit.record("analysis.deleted", actor=viewer.id, subject=str(analysis_id))

    # --- starting and stopping --------------------------------------------------------------

    def resume(self) -> None:
        """Finish what a crash left half-way; take up, in the background, what waits.

        Raises:
            StorageError: The stores cannot be read or written.
        """
        with self._resuming:  # nobody uploads before it is done
            if not self._backlog.has_started:
                self.removal.finish()
            self._backlog.start()

    def close(self) -> None:
        """Store what the engine has finished. No scan is judged afterwards."""
        self._backlog.close()
        self._judging.close()
