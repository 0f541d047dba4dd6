"""Between the engine and the stores: scans go to the engine, what it found is written down."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event, Lock
from time import monotonic
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.detection.verdict import Finding
from app.engine.protocol import Engine, Judgement
from app.errors import (
    EngineStoppedError,
    InferenceFailedError,
    NotFoundError,
    ScanMissingError,
    StorageError,
    VeriscanError,
)
from app.records import Analysis, AnalysisStatus
from app.services.analyses.door import Entering
from app.services.audit import AuditService
from app.services.decoding import pictures
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture

RETRY_S = 2.0
SYNTHETIC_REASON = (
    "The file itself declares that it holds synthetic data (DICOM attribute 0008,001C)."
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """An analysis that is not to be taken up by anybody else, as a rule since the engine has it.

    ``ended`` is set when its result has been stored.
    """

    future: "Future[Judgement] | None" = None
    ended: Event = field(default_factory=Event)

    @property
    def waits(self) -> bool:
        """Whether the engine has not come to it yet."""
        return self.future is None or not (self.future.running() or self.future.done())


class JudgingService:
    """Hands scans to the engine and stores what comes back.

    The engine's own thread only passes a result on; another one writes it down, so that the next
    scan does not wait for the disk.

    ``when_room`` is called whenever the engine may have room for another scan, ``watch`` for each
    scan that the engine has taken, and ``adjusted`` gives each judgement, by modality, the form in
    which this site keeps it.

    Which analyses are under way is known to this process alone: of the processes that share a data
    folder, one serves.
    """

    def __init__(
        self, engine: Engine, store: AnalysisStore, images: ImageStore, audit: AuditService
    ) -> None:
        self._audit = audit
        self._engine = engine
        self._store = store
        self._images = images
        self._runs: dict[UUID, _Run] = {}
        self._lock = Lock()
        # Judged, but the database did not take the result: they wait until it takes something.
        self._unrecorded: set[UUID] = set()
        self._unrecorded_s = -RETRY_S
        self.when_room: Callable[[], None] = lambda: None
        self.watch: Callable[[Analysis, NDArray[np.float32]], None] = lambda _analysis, _grey: None
        self.adjusted: Callable[[str, Judgement], Judgement] = lambda _modality, judged: judged
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="veriscan-recorder")

    def begin(
        self, analysis: Analysis, grey: NDArray[np.float32], *, entering: Entering = nullcontext
    ) -> None:
        """Queue a scan whose analysis is stored; returns at once.

        Args:
            analysis: As stored.
            grey: Grey values, float32 in [0, 1], shape ``[H, W]``, as its stored picture gives
                them, so that it is judged the same after a restart.
            entering: Opens the block in which it enters the engine's queue.

        Raises:
            EngineError: The engine does not take it; the analysis is as it was.
        """
        with self._lock:
            run = self._runs.setdefault(analysis.id, _Run())
        try:
            with entering():
                run.future = self._engine.submit(
                    analysis.modality, grey, override_gate=analysis.override_gate
                )
        except BaseException:
            self.let_go(analysis.id)
            raise
        run.future.add_done_callback(lambda future: self._pass_on(analysis, future))
        self.watch(analysis, grey)

    def hold(self, analysis_id: UUID) -> bool:
        """Keep everybody else from taking up an analysis; return False if somebody has it."""
        with self._lock:
            if analysis_id in self._runs or analysis_id in self._unrecorded:
                return False
            self._runs[analysis_id] = _Run()
            return True

    def let_go(self, analysis_id: UUID) -> None:
        """Let an analysis be taken up again; those who wait for its end go on."""
        with self._lock:
            run = self._runs.pop(analysis_id, None)
        if run is not None:
            run.ended.set()

    def begin_stored(self, analysis: Analysis) -> None:
        """Queue a scan that waits in the stores, unless it is under way or finished by now.

        Raises:
            NotFoundError: It was deleted.
            ScanMissingError: Its picture is gone.
            EngineError: The engine does not take it; the analysis is as it was.
        """
        if not self.hold(analysis.id):
            return
        try:
            current = self._store.get(analysis.id)
            if current.status.is_final:
                self.let_go(analysis.id)
                return
            self.begin(current, self._stored_grey(current))
        except BaseException:
            self.let_go(analysis.id)
            raise

    def give_up(self, analysis: Analysis, error: Exception) -> None:
        """Note that a scan cannot be judged, and why."""
        with suppress(NotFoundError):  # deleted meanwhile
            self._store.update(failed(analysis, error))

    def begin_again(self, stopped: Analysis) -> Analysis:
        """Queue a scan that the gate stopped once more, to be judged whatever the gate says.

        Returns:
            The analysis as it is now: queued.

        Raises:
            NotFoundError: It is not one that was not judged, or not any more.
            ScanMissingError: Its picture is gone.
            EngineError: The engine does not take it; the analysis is as it was.
        """
        grey = self._stored_grey(stopped)
        queued = replace(
            stopped, status=AnalysisStatus.QUEUED, finding=None, finished=None, override_gate=True
        )
        if not self.hold(stopped.id):
            raise NotFoundError("analysis that was not judged")
        try:
            self._store.reopen(queued)
        except BaseException:
            self.let_go(stopped.id)
            raise
        try:
            self.begin(queued, grey)
        except BaseException:
            with suppress(VeriscanError):  # the error that led here is the one to tell
                self._store.update(stopped)
            self.let_go(stopped.id)
            raise
        return queued

    def wait(self, analysis_id: UUID, timeout_s: float) -> None:
        """Return when an analysis has ended, after ``timeout_s`` seconds at the latest."""
        run = self._runs.get(analysis_id)
        if run is not None:
            run.ended.wait(timeout_s)

    def is_running(self, analysis_id: UUID) -> bool:
        """Return whether a scan is in the network right now."""
        run = self._runs.get(analysis_id)
        return run is not None and run.future is not None and run.future.running()

    def cancel(self, analysis_id: UUID) -> None:
        """Spare the engine a scan, if it has not come to it yet."""
        run = self._runs.get(analysis_id)
        if run is not None and run.future is not None:
            run.future.cancel()

    def has(self, analysis_id: UUID) -> bool:
        """Return whether an analysis is not to be taken up (again) at present."""
        return analysis_id in self._runs or analysis_id in self._unrecorded

    @property
    def count(self) -> int:
        """How many analyses are not to be taken up."""
        return len(self._runs) + len(self._unrecorded)

    def in_hand(self) -> dict[UUID, bool]:
        """Return the scans that were taken up, in that order, and whether each still waits.

        It waits until the engine comes to it, which begins before the engine has it.
        """
        with self._lock:
            runs = list(self._runs.items())
            unrecorded = list(self._unrecorded)
        in_hand = {analysis_id: run.waits for analysis_id, run in runs}
        return in_hand | dict.fromkeys(unrecorded, False)

    def reconsider(self) -> bool:
        """Let analyses be judged again whose result could not be stored, if that is possible now.

        Returns:
            Whether there are any left.
        """
        if monotonic() - self._unrecorded_s < RETRY_S:
            return bool(self._unrecorded)
        for analysis_id in list(self._unrecorded):
            try:
                self._store.update(self._store.get(analysis_id))  # does the database take it?
            except StorageError:
                return True
            except NotFoundError:
                log.info("An analysis was deleted while its result could not be stored.")
            with self._lock:
                self._unrecorded.discard(analysis_id)
        return False

    def close(self) -> None:
        """Store what the engine has finished; what it has not is taken up at the next start."""
        self._recorder.shutdown(wait=True)

    # --- after the engine -------------------------------------------------------------------

    def _pass_on(self, analysis: Analysis, future: "Future[Judgement]") -> None:
        try:
            self._recorder.submit(self._record, analysis, future)
        except RuntimeError:  # closed: the analysis stays queued for the next start
            self.let_go(analysis.id)

    def _record(self, analysis: Analysis, future: "Future[Judgement]") -> None:
        """Store how an analysis ended; only then do those who wait for it see it."""
        try:
            if future.cancelled():
                return
            error = future.exception()
            if isinstance(error, EngineStoppedError):
                return  # it stays queued and is taken up at the next start
            if error is not None:
                self._store.update(failed(analysis, error))
                return
            judgement = self.adjusted(analysis.modality, future.result())
            if judgement.heatmap is not None:
                heatmap = pictures.encoded(pictures.quantised(judgement.heatmap))
                self._images.put(analysis.id, Picture.HEATMAP, heatmap)
            self._store.update(done(analysis, judgement.finding))
            self._audit.record(
                "analysis.judged",
                actor=None,
                subject=str(analysis.id),
                verdict=judgement.finding.verdict.value,
                weights_sha256=judgement.finding.weights_sha256,
            )
        except NotFoundError:  # its owner has deleted it meanwhile
            with suppress(StorageError):
                self._images.delete(analysis.id)
        except Exception as error:  # a full disk …
            log.exception("The result of an analysis could not be stored.")
            self._fail_or_leave(analysis, error)
        finally:
            self.let_go(analysis.id)
            self.when_room()

    def _fail_or_leave(self, analysis: Analysis, error: Exception) -> None:
        try:
            self._store.update(failed(analysis, error))
        except VeriscanError:  # then it stays queued, and is judged again
            with self._lock:
                self._unrecorded_s = monotonic()  # first: nobody is to try again at once
                self._unrecorded.add(analysis.id)

    def _stored_grey(self, analysis: Analysis) -> NDArray[np.float32]:
        try:
            png = self._images.get(analysis.id, Picture.SCAN)
        except NotFoundError:
            raise ScanMissingError from None
        try:
            return pictures.restored(pictures.decoded(png))
        except Exception as error:  # a damaged file makes Pillow raise many kinds
            raise ScanMissingError from error


def done(analysis: Analysis, finding: Finding) -> Analysis:
    """Return an analysis with what was found in it."""
    if analysis.declared_synthetic:
        finding = replace(finding, reasons=(*finding.reasons, SYNTHETIC_REASON))
    return replace(
        analysis, status=AnalysisStatus.DONE, finding=finding, finished=datetime.now(UTC)
    )


def failed(analysis: Analysis, error: BaseException) -> Analysis:
    """Return an analysis with the reason why it failed, in words for its owner."""
    reason = error if isinstance(error, VeriscanError) else InferenceFailedError()
    return replace(
        analysis, status=AnalysisStatus.FAILED, error=str(reason), finished=datetime.now(UTC)
    )
