"""The engine that runs inside the web process: a queue, one worker thread, the networks.

PyTorch takes seconds to load, so it is imported where the engine starts: a command that only needs
the accounts is quick.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.detection.spec import modalities
from app.detection.spec import modality as spec_of
from app.engine.batching import Pace, ScanQueue, WaitingScan
from app.engine.protocol import CPU, CUDA, Availability, Judgement
from app.errors import (
    DeviceUnavailableError,
    EngineStoppedError,
    InferenceFailedError,
    ModalityUnavailableError,
    VeriscanError,
)

if TYPE_CHECKING:
    from app.engine.serving import Serving

DEVICES = ("auto", CPU, CUDA)
NOT_STARTED = "Its detector is not loaded yet."
DOES_NOT_RUN = "Its detector does not run on this machine."
STOP_TIMEOUT_S = 30.0
RESTART_DELAY_S = 0.1

logger = logging.getLogger(__name__)


class InProcessEngine:
    """Judges scans in this process, on its GPU or its CPU.

    Nothing is loaded and no thread is made before ``start``, so the engine may be built before
    a server forks.

    Args:
        weights_dir: The folder with ``active.toml``.
        max_queue: How many scans may wait.
        max_batch: How many scans the GPU judges at once; the CPU judges one at a time.
        device: ``cpu``, ``cuda`` or ``auto``, which takes the GPU if there is one.
        threads: Threads that PyTorch may use for one scan on the CPU, in this whole process;
            None leaves PyTorch's own choice, which is one a core.
        only: Keys of the modalities to load; all where None.
    """

    def __init__(
        self,
        weights_dir: Path,
        *,
        max_queue: int,
        max_batch: int,
        device: str = "auto",
        threads: int | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        if device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
        if max_batch < 1:
            raise ValueError(f"max_batch must be 1 or more, got {max_batch}")
        self._weights_dir = weights_dir
        self._max_batch = max_batch
        self._wanted_device = device
        self._device = CUDA if device == CUDA else CPU
        self._threads = threads
        self._only = only
        self._pace = Pace()
        self._queue = ScanQueue(max_queue, self._pace)
        self._serving: dict[str, Serving] = {}
        self._reasons: dict[str, str] = {}
        self._lifecycle = threading.Lock()
        self._worker: threading.Thread | None = None
        self._in_flight: Sequence[WaitingScan] = ()

    @property
    def device(self) -> str:
        """Where the networks run, ``cpu`` or ``cuda``; settled once the engine has started."""
        return self._device

    def start(self) -> None:
        """Load the published weights and begin to serve. A second call does nothing.

        A modality whose weights cannot be used is unavailable; the others serve.

        Raises:
            DeviceUnavailableError: A GPU was asked for by name and there is none.
            EngineStoppedError: The engine has been stopped.
        """
        with self._lifecycle:
            if self._queue.is_closed:
                raise EngineStoppedError
            if self._worker is not None:
                return
            self._device = _settled(self._wanted_device)
            if self._threads is not None:
                import torch

                torch.set_num_threads(self._threads)
            for key in modalities():
                if self._only is None or key in self._only:
                    self._load(key)
            self._worker = threading.Thread(target=self._work, name="veriscan-engine", daemon=True)
            self._worker.start()

    def stop(self) -> None:
        """Stop serving: the batch in the network is finished, waiting scans are turned away."""
        for scan in self._queue.close():
            scan.fail(EngineStoppedError())
        with self._lifecycle:
            worker = self._worker
        if worker is None or worker is threading.current_thread():
            return
        worker.join(STOP_TIMEOUT_S)
        for scan in self._in_flight:
            scan.fail(EngineStoppedError())

    def availability(self) -> Mapping[str, Availability]:
        """Return for every known modality whether it can be judged, by key."""
        return MappingProxyType({key: self._availability_of(key) for key in modalities()})

    def submit(
        self, modality: str, scan: NDArray[np.float32], *, override_gate: bool = False
    ) -> "Future[Judgement]":
        """Queue a scan; return at once. See ``app.engine.protocol.Engine.submit``.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
            QueueFullError: Too many scans are waiting.
            EngineStoppedError: The engine has been stopped.
        """
        title = spec_of(modality).title
        serving = self._serving.get(modality)
        if serving is None:
            raise ModalityUnavailableError(title, self._reasons.get(modality, NOT_STARTED))
        self._queue.check_room()
        try:
            waiting = serving.prepare(scan, override_gate=override_gate)
        except Exception:  # the sender's future is completed whatever the scan is
            logger.exception("A scan of %s could not be prepared.", modality)
            failed: Future[Judgement] = Future()
            failed.set_exception(InferenceFailedError())
            return failed
        self._queue.put(waiting)
        return waiting.future

    def queue_length(self) -> int:
        """Return how many scans are waiting."""
        return len(self._queue)

    def _load(self, key: str) -> None:
        """Load what serves a modality, or note why nothing does."""
        from app.engine.serving import load_serving

        try:
            serving = load_serving(self._weights_dir, key, self._device, self._max_batch)
        except VeriscanError as error:
            logger.error("The modality %s is unavailable: %s", key, error)
            self._reasons[key] = str(error)
        except Exception:  # out of memory, a failing driver …: the others still serve
            logger.exception("The modality %s is unavailable: its detector does not run.", key)
            self._reasons[key] = DOES_NOT_RUN
        else:
            logger.info("%s is served by %s on %s.", key, serving.card.name, self._device)
            if serving.gate is None:
                logger.warning("%s has no gate: any image is judged as one.", key)
            self._serving[key] = serving

    def _availability_of(self, key: str) -> Availability:
        if serving := self._serving.get(key):
            gate_card = serving.gate.card if serving.gate else None
            return Availability(modality=key, card=serving.card, gate_card=gate_card)
        return Availability(modality=key, reason=self._reasons.get(key, NOT_STARTED))

    # --- the worker thread ------------------------------------------------------------------

    def _work(self) -> None:
        """Serve until the queue is closed; if a bug ends that early, begin again."""
        while not self._queue.is_closed:
            try:
                self._serve()
            except BaseException:  # without this thread every later scan would wait for ever
                logger.critical("The engine's worker failed and begins again.", exc_info=True)
                for scan in self._in_flight:
                    scan.fail(InferenceFailedError())
                time.sleep(RESTART_DELAY_S)

    def _serve(self) -> None:
        """Judge batch after batch until the queue is closed."""
        while batch := self._queue.take(self._batch_limit):
            self._in_flight = batch
            if claimed := [scan for scan in batch if scan.claim()]:
                self._judge(self._serving[claimed[0].modality], claimed)
            self._in_flight = ()

    def _batch_limit(self, key: str) -> int:
        return self._serving[key].backend.batch_limit

    def _judge(self, serving: "Serving", scans: Sequence[WaitingScan]) -> None:
        """Judge scans of one modality and answer their senders; if they fail together, each alone.

        The log gets the traceback; no error of the networks repeats a pixel.
        """
        started_s = time.perf_counter()
        try:
            judgements = serving.judge(scans)
        except Exception:
            logger.exception("%d scan(s) of %s failed.", len(scans), serving.modality)
            if len(scans) == 1:
                scans[0].fail(InferenceFailedError())
                return
            for scan in scans:
                self._judge(serving, [scan])
            return
        self._pace.record(len(scans), time.perf_counter() - started_s)
        for scan, judgement in zip(scans, judgements, strict=True):
            if judgement is not None:
                scan.succeed(judgement)
                continue
            logger.error("A scan of %s gave a result that is not a number.", serving.modality)
            scan.fail(InferenceFailedError())


def _settled(wanted: str) -> str:
    """Return the device to run on."""
    import torch

    has_gpu = wanted != CPU and torch.cuda.is_available()
    if wanted == CUDA and not has_gpu:
        raise DeviceUnavailableError(CUDA)
    return CUDA if has_gpu else CPU
