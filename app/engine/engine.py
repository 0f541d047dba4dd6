"""The engine that runs inside the web process: a queue, worker threads, the networks.

PyTorch takes seconds to load, so it is imported where the engine starts: a command that only needs
the accounts is quick.
"""

import ctypes
import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.detection.card import Card
from app.detection.spec import modalities
from app.detection.spec import modality as spec_of
from app.engine.batching import Pace, ScanQueue, WaitingScan
from app.engine.protocol import CPU, CUDA, Availability, Candidate, EngineFigures, Judgement
from app.errors import (
    DeviceUnavailableError,
    EngineStoppedError,
    InferenceFailedError,
    ModalityUnavailableError,
    VeriscanError,
)

if TYPE_CHECKING:
    from app.engine.backends import Machine
    from app.engine.serving import Serving

DEVICES = ("auto", CPU, CUDA)
NOT_STARTED = "Its detector is not loaded yet."
DOES_NOT_RUN = "Its detector does not run on this machine."
STOP_TIMEOUT_S = 30.0
RESTART_DELAY_S = 0.1
GPU_WORKERS = 2
"""While the GPU has the scans of one, the other makes the variants of its own."""

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
        threads: Threads for one scan on the CPU, also for all else that PyTorch does in this
            process; None is one a core.
        graphs_dir: Where graphs that are exported for the CPU are kept; None judges with PyTorch
            itself, which is slower but has nothing to export.
    """

    def __init__(
        self,
        weights_dir: Path,
        *,
        max_queue: int,
        max_batch: int,
        device: str = "auto",
        threads: int | None = None,
        graphs_dir: Path | None = None,
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
        self._graphs_dir = graphs_dir
        self._pace = Pace()
        self._queue = ScanQueue(max_queue, self._pace)
        self._serving: dict[str, Serving] = {}
        self._shadows: dict[str, Serving] = {}
        self._reasons: dict[str, str] = {}
        self._lifecycle = threading.Lock()
        self._activation = threading.Lock()
        self._workers: tuple[threading.Thread, ...] = ()
        self._in_flight: dict[int, Sequence[WaitingScan]] = {}
        self._restarts = 0
        self._batches: Counter[int] = Counter()
        self._memory_shortages = 0
        self._counting = threading.Lock()

    @property
    def device(self) -> str:
        """Where the networks run, ``cpu`` or ``cuda``; settled once the engine has started."""
        return self._device

    def start(self, only: Collection[str] | None = None) -> None:
        """Load the published weights and begin to serve. A second call does nothing.

        A modality whose weights cannot be used is unavailable; the others serve.

        Args:
            only: Keys of the modalities to load; all where None.

        Raises:
            DeviceUnavailableError: A GPU was asked for by name and there is none.
            EngineStoppedError: The engine has been stopped.
        """
        with self._lifecycle:
            if self._queue.is_closed:
                raise EngineStoppedError
            if self._workers:
                return
            self._device = _settled(self._wanted_device)
            if self._threads is not None:
                import torch

                torch.set_num_threads(self._threads)
            for key in modalities():
                if only is None or key in only:
                    self._load(key)
            _give_memory_back()
            count = GPU_WORKERS if self._device == CUDA else 1
            self._workers = tuple(self._new_worker(number) for number in range(count))

    def stop(self) -> None:
        """Stop serving: the batch in the network is finished, waiting scans are turned away."""
        for scan in self._queue.close():
            scan.fail(EngineStoppedError())
        with self._lifecycle:
            workers = self._workers
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(STOP_TIMEOUT_S)
        for scans in tuple(self._in_flight.values()):
            for scan in scans:
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

    def check_room(self, scans: int = 1) -> None:
        """Check that so many scans could be submitted now, before any work is spent on them.

        Raises:
            QueueFullError: Too many scans are waiting.
            EngineStoppedError: The engine has been stopped.
        """
        self._queue.check_room(scans)

    # --- changing what serves ---------------------------------------------------------------

    def candidates(self, modality: str) -> Sequence[Candidate]:
        """Return the checkpoints in the weights folder that are for a modality, by name.

        Raises:
            UnknownModalityError: There is no such modality.
        """
        from app.engine.activation import candidates

        spec_of(modality)
        serving = self._serving.get(modality)
        return candidates(self._weights_dir, modality, serving.card if serving else None)

    def activate(self, modality: str, name: str) -> Card:
        """Let another checkpoint serve. See ``app.engine.protocol.Engine.activate``.

        Raises:
            UnknownModalityError: There is no such modality.
            WeightsError: The checkpoint cannot be used.
            ActivationError: It could be, but the choice cannot be written down.
            EngineStoppedError: The engine does not run.
        """
        from app.engine.activation import choose

        with self._loaded(modality, name) as serving:
            choose(self._weights_dir, modality, name)
            self._serving[modality] = serving
        logger.info("%s is now served by %s (%s).", modality, name, serving.card.sha256)
        return serving.card

    # --- a candidate in the shadow ----------------------------------------------------------

    def start_shadow(self, modality: str, name: str) -> Card:
        """Load a candidate. See ``app.engine.protocol.ShadowEngine.start_shadow``.

        Raises:
            UnknownModalityError: There is no such modality.
            WeightsError: The candidate cannot be used.
            EngineStoppedError: The engine does not run.
        """
        with self._loaded(modality, name) as candidate:
            self._shadows[modality] = candidate
        logger.info("%s is judged by %s in the shadow.", modality, name)
        return candidate.card

    def stop_shadow(self, modality: str) -> None:
        """Let go of the candidate of a modality; does nothing where there is none."""
        self._shadows.pop(modality, None)

    def submit_shadow(self, modality: str, scan: NDArray[np.float32]) -> "Future[Judgement] | None":
        """Let the candidate judge a scan as well. See ``ShadowEngine.submit_shadow``."""
        candidate = self._shadows.get(modality)
        # The scan itself may still be in the queue; beyond that, people wait.
        if candidate is None or len(self._queue) > 1:
            return None
        waiting = candidate.prepare(scan)
        self._queue.put(waiting)
        return waiting.future

    def figures(self) -> EngineFigures:
        """Return what this engine has done since its start."""
        is_alive = bool(self._workers) and all(worker.is_alive() for worker in self._workers)
        return EngineFigures(
            is_alive=is_alive and not self._queue.is_closed,
            restarts=self._restarts,
            batches=dict(self._batches),
            memory_shortages=self._memory_shortages,
        )

    # --- loading ----------------------------------------------------------------------------

    @contextmanager
    def _loaded(self, modality: str, name: str) -> Iterator["Serving"]:
        """Load a checkpoint while the others serve, one at a time."""
        from app.engine.serving import load_serving

        spec_of(modality)
        # Not the lock of the start, on which every request waits for the engine to be ready.
        with self._activation:
            if self._queue.is_closed or not self._workers:
                raise EngineStoppedError
            yield load_serving(self._weights_dir, modality, self._machine(), name)
            _give_memory_back()

    def _machine(self) -> "Machine":
        from app.engine.backends import Machine

        return Machine(
            device=self._device,
            max_batch=self._max_batch,
            threads=self._threads,
            graphs_dir=self._graphs_dir,
            out_of_memory=self._count_shortage,
        )

    def _count_shortage(self) -> None:
        with self._counting:  # the GPU has two workers
            self._memory_shortages += 1

    def _load(self, key: str) -> None:
        """Load what serves a modality, or note why nothing does."""
        from app.engine.serving import load_serving

        try:
            serving = load_serving(self._weights_dir, key, self._machine())
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

    # --- the worker threads -----------------------------------------------------------------

    def _new_worker(self, number: int) -> threading.Thread:
        worker = threading.Thread(
            target=self._work, args=(number,), name=f"veriscan-engine-{number}", daemon=True
        )
        worker.start()
        return worker

    def _work(self, number: int) -> None:
        """Serve until the queue is closed; if a bug ends that early, begin again."""
        while not self._queue.is_closed:
            try:
                self._serve(number)
            except BaseException:  # without this thread every later scan would wait for ever
                for scan in self._in_flight.get(number, ()):
                    scan.fail(InferenceFailedError())
                with suppress(BaseException):  # no memory even for the traceback …
                    logger.critical("The engine's worker failed and begins again.", exc_info=True)
                self._restarts += 1
                time.sleep(RESTART_DELAY_S)

    def _serve(self, number: int) -> None:
        """Judge batch after batch until the queue is closed."""
        while batch := self._queue.take(_batch_limit):
            self._in_flight[number] = batch
            if claimed := [scan for scan in batch if scan.claim()]:
                self._batches[len(claimed)] += 1
                self._judge(claimed[0].serving, claimed)
            self._in_flight[number] = ()

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


def _batch_limit(serving: "Serving") -> int:
    return serving.backend.batch_limit


def _give_memory_back() -> None:
    """Return what loading needed for a moment to the system; the C library would keep it."""
    with suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _settled(wanted: str) -> str:
    """Return the device to run on."""
    import torch

    has_gpu = wanted != CPU and torch.cuda.is_available()
    if wanted == CUDA and not has_gpu:
        raise DeviceUnavailableError(CUDA)
    return CUDA if has_gpu else CPU
