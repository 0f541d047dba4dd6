"""The processes that decode scans: started when they are needed, replaced when they fail."""

import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import ROOT
from app.errors import DecodersBusyError, DecodersFailedError
from app.services.decoding.process import WorkerBounds, receive_message, send_message

PROCESSES = 2  # one large scan takes several hundred megabytes while it is decoded
PATIENCE_S = 60.0
START_S = 60.0
KEPT_BYTES = 2**24  # of shared memory, by a process that waits for its next file
INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


COSTLY = (-9, -24)
"""Killed for its time or by a system that ran out of memory (SIGKILL), or for its time on a core
(SIGXCPU)."""


class WorkerLostError(Exception):
    """A process ended in the midst of a file, or was ended because it took too long.

    Attributes:
        is_costly: It took more time or memory than it may, as far as one can tell.
    """

    def __init__(self, *, is_costly: bool) -> None:
        super().__init__("costly" if is_costly else "crashed")
        self.is_costly = is_costly


class Worker:
    """One process. Used by one thread at a time."""

    def __init__(self, bounds: WorkerBounds) -> None:
        self._bounds = bounds
        self._jobs_left = bounds.jobs
        self._is_ready = False
        self._socket, theirs = socket.socketpair()
        memory = _shared_memory(bounds.exchange_bytes)
        try:
            self._exchange = mmap.mmap(memory, bounds.exchange_bytes)
            self._process = _started(theirs.fileno(), memory, bounds)
        finally:
            theirs.close()
            os.close(memory)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it lives and may take another file."""
        return self._jobs_left > 0 and self._process.poll() is None

    def run(
        self, order: Mapping[str, Any], data: bytes
    ) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Send a file and return the answer, and the pixels if it gives their shape.

        Raises:
            WorkerLostError: The process did not live to give one.
            DecodersFailedError: It did not even start.
        """
        self._await_start()
        self._jobs_left -= 1
        try:
            self._exchange[: len(data)] = data
            send_message(self._socket, {**order, "bytes": len(data)})
            answer = receive_message(self._socket, self._bounds.wall_s)
            return answer, self._pixels(answer.get("shape", (0, 0)))
        except (OSError, TypeError, ValueError) as error:
            raise WorkerLostError(is_costly=self._end() in COSTLY) from error

    def _pixels(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Take the pixels out of the exchange and give its memory back if it is much."""
        height, width = shape
        used = np.frombuffer(self._exchange, np.float32, height * width)
        pixels = used.reshape(height, width).copy()
        del used
        if pixels.nbytes > KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            self._exchange.madvise(mmap.MADV_REMOVE)
        return pixels

    def _await_start(self) -> None:
        if self._is_ready:
            return
        try:
            receive_message(self._socket, START_S)
        except (OSError, ValueError) as error:
            self._end()
            raise DecodersFailedError from error
        self._is_ready = True

    def stop(self) -> None:
        """End the process."""
        self._socket.close()
        with suppress(BufferError):  # an error on its way may still hold on to pixels
            self._exchange.close()
        self._process.kill()  # it has nothing to put away
        self._process.wait()

    def _end(self) -> int:
        """End the process if it still lives; return how it ended, as ``Popen.returncode``."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.2)  # it may be on its way out, and say why
        self._process.kill()
        return self._process.wait()


def _shared_memory(count: int) -> int:
    """Return the descriptor of memory that another process can be given; no page is used yet."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("veriscan-decoding")
    else:  # on systems other than Linux, a file without a name
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, count)
    return descriptor


def _started(sock: int, memory: int, bounds: WorkerBounds) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module, and no word of a client's
        [
            *(sys.executable, "-m", "app.services.decoding.process"),
            *(str(sock), str(memory), json.dumps(asdict(bounds))),
        ],
        cwd=ROOT,
        env={k: os.environ[k] for k in INHERITED if k in os.environ} | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # decoders quote headers, and those name patients
        pass_fds=(sock, memory),
        process_group=0,  # Ctrl-C is for the server
    )


class DecodingPool:
    """A few processes that decode files, shared by all threads.

    None is started before ``start`` or the first file. After ``close``, a file starts one again.

    Args:
        bounds: What decoding one file may take.
        processes: How many files are decoded at once.
        patience_s: How long a file waits for its turn, in seconds.
    """

    def __init__(
        self,
        bounds: WorkerBounds | None = None,
        *,
        processes: int = PROCESSES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._bounds = bounds or WorkerBounds()
        self._turns = BoundedSemaphore(processes)
        self._patience_s = patience_s
        self._idle: list[Worker] = []
        self._lock = Lock()
        self.replaced = 0

    def start(self) -> None:
        """Start a process in advance, without waiting until it is ready."""
        with self._lock:
            if not self._idle:
                self._idle.append(Worker(self._bounds))

    def close(self) -> None:
        """End the processes that have nothing to do."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    def pids(self) -> tuple[int, ...]:
        """Return the numbers of the processes that have nothing to do."""
        with self._lock:
            return tuple(worker.pid for worker in self._idle)

    def run(
        self, order: Mapping[str, Any], data: bytes
    ) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Have a file decoded by the next process that is free.

        Raises:
            DecodersBusyError: None was for too long.
            DecodersFailedError: None can be started.
            WorkerLostError: The process did not live to give an answer.
        """
        if not self._turns.acquire(timeout=self._patience_s):
            raise DecodersBusyError(round(self._bounds.wall_s))
        try:
            with self._worker() as worker:
                return worker.run(order, data)
        finally:
            self._turns.release()

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        """Give a process that nobody else uses; one that is worn out is replaced."""
        worker = self._taken()
        try:
            yield worker
        finally:
            if worker.is_usable:
                self._put_back(worker)
            else:
                self.replaced += 1
                worker.stop()
                self.start()

    def _taken(self) -> Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return Worker(self._bounds)
            if worker.is_usable:
                return worker
            worker.stop()

    def _put_back(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)
