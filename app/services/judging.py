"""Between the engine and the stores: scans go to the engine, what it found is written down."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.detection.verdict import Finding
from app.engine.protocol import Engine, Judgement
from app.errors import (
    EngineStoppedError,
    InferenceFailedError,
    NotFoundError,
    QueueFullError,
    ScanMissingError,
    StorageError,
    VeriscanError,
)
from app.records import Analysis, AnalysisStatus
from app.services import pictures
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture

RETRY_S = 2.0
SYNTHETIC_REASON = (
    "The file itself declares that it holds synthetic data (DICOM attribute 0008,001C)."
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """An analysis that the engine has; ``ended`` is set when its result has been stored."""

    future: "Future[Judgement] | None" = None
    ended: Event = field(default_factory=Event)


class JudgingService:
    """Hands scans to the engine and stores what comes back.

    The engine's own thread only passes a result on; another one writes it down, so that the next
    scan does not wait for the disk.

    Which analyses are under way is known to this process alone: of the processes that share a data
    folder, one serves.
    """

    def __init__(self, engine: Engine, store: AnalysisStore, images: ImageStore) -> None:
        self._engine = engine
        self._store = store
        self._images = images
        self._runs: dict[UUID, _Run] = {}
        self._lock = Lock()
        self._resuming = Lock()
        self._has_resumed = False
        self._closing = Event()
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="veriscan-recorder")

    def begin(self, analysis: Analysis, grey: NDArray[np.float32]) -> None:
        """Queue a scan whose analysis is stored; returns at once.

        Args:
            analysis: As stored.
            grey: Grey values, float32 in [0, 1], shape ``[H, W]``, as its stored picture gives
                them, so that it is judged the same after a restart.

        Raises:
            EngineError: The engine does not take it; the analysis is as it was.
        """
        run = _Run()
        with self._lock:
            self._runs[analysis.id] = run
        try:
            run.future = self._engine.submit(
                analysis.modality, grey, override_gate=analysis.override_gate
            )
        except BaseException:
            self._end(analysis.id)
            raise
        run.future.add_done_callback(lambda future: self._pass_on(analysis, future))

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
        self._store.reopen(queued)
        try:
            self.begin(queued, grey)
        except BaseException:
            with suppress(VeriscanError):  # the error that led here is the one to tell
                self._store.update(stopped)
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

    def resume(self) -> None:
        """Take up the analyses that a restart interrupted, oldest first; returns at once.

        They are judged one at a time, so that people who come now find room in the queue. A
        second call does nothing, but waits until the first has seen which they are: whatever is
        taken in after that is not one of them.
        """
        with self._resuming:
            if self._has_resumed:
                return
            interrupted = [a for a in self._store.unfinished() if a.id not in self._runs]
            self._has_resumed = True
        if interrupted:
            log.info("%d interrupted analyses are taken up.", len(interrupted))
            Thread(
                target=self._resume_all, args=(interrupted,), name="veriscan-resume", daemon=True
            ).start()

    def close(self) -> None:
        """Store what the engine has finished; what it has not is taken up at the next start."""
        self._closing.set()
        self._recorder.shutdown(wait=True)

    # --- after the engine -------------------------------------------------------------------

    def _pass_on(self, analysis: Analysis, future: "Future[Judgement]") -> None:
        try:
            self._recorder.submit(self._record, analysis, future)
        except RuntimeError:  # closed: the analysis stays queued for the next start
            self._end(analysis.id)

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
            judgement = future.result()
            if judgement.heatmap is not None:
                heatmap = pictures.encoded(pictures.quantised(judgement.heatmap))
                self._images.put(analysis.id, Picture.HEATMAP, heatmap)
            self._store.update(done(analysis, judgement.finding))
        except NotFoundError:  # its owner has deleted it meanwhile
            with suppress(StorageError):
                self._images.delete(analysis.id)
        except Exception as error:  # a full disk …
            log.exception("The result of an analysis could not be stored.")
            with suppress(VeriscanError):  # then it stays queued, for the next start
                self._store.update(failed(analysis, error))
        finally:
            self._end(analysis.id)

    def _end(self, analysis_id: UUID) -> None:
        with self._lock:
            run = self._runs.pop(analysis_id, None)
        if run is not None:
            run.ended.set()

    # --- after a restart --------------------------------------------------------------------

    def _resume_all(self, interrupted: list[Analysis]) -> None:
        for analysis in interrupted:
            if self._closing.is_set():
                return
            try:
                self._resume(analysis)
            except EngineStoppedError:
                return
            except Exception:  # whatever is wrong with this one, the others go on
                log.exception("An interrupted analysis could not be taken up.")

    def _resume(self, analysis: Analysis) -> None:
        try:
            self._begin_with_patience(analysis, self._stored_grey(analysis))
        except (EngineStoppedError, StorageError):
            raise
        except VeriscanError as error:
            with suppress(NotFoundError):  # deleted meanwhile
                self._store.update(failed(analysis, error))
        while analysis.id in self._runs and not self._closing.is_set():
            self.wait(analysis.id, RETRY_S)

    def _begin_with_patience(self, analysis: Analysis, grey: NDArray[np.float32]) -> None:
        while not self._closing.is_set():
            try:
                self.begin(analysis, grey)
            except QueueFullError:
                self._closing.wait(RETRY_S)
            else:
                return

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
