"""A gate in front of the real networks, with which tests hold batches up and break them."""

import threading
from concurrent.futures import Future
from pathlib import Path

import torch
from torch import Tensor

from app.engine.backends import BatchOutput, CpuBackend, GreyReader
from app.engine.engine import InProcessEngine
from app.engine.protocol import Judgement

PATIENCE_S = 20.0
POISON = 0.987654
"""The grey value all over a scan that breaks the network."""


def new_engine(weights_dir: Path, *, max_queue: int = 64) -> InProcessEngine:
    return InProcessEngine(weights_dir, max_queue=max_queue, max_batch=8, device="cpu", threads=1)


def result(future: "Future[Judgement]") -> Judgement:
    return future.result(timeout=PATIENCE_S)


def error_of(future: "Future[Judgement]") -> BaseException | None:
    return future.exception(timeout=PATIENCE_S)


class Gate:
    """Holds batches up in front of the network until it is opened."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._is_open = threading.Event()
        self._is_open.set()
        self.kills_the_worker = False

    def close(self) -> None:
        self._arrived.clear()
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    def wait_for_arrival(self) -> None:
        assert self._arrived.wait(PATIENCE_S)

    def pass_through(self) -> None:
        self._arrived.set()
        assert self._is_open.wait(PATIENCE_S)
        if self.kills_the_worker:
            self.kills_the_worker = False
            raise SystemExit("a bug that ends the thread")


class GatedBackend(CpuBackend):
    """The real backend behind a gate; like a GPU it takes batches, and one scan breaks it."""

    def __init__(self, reader: GreyReader, gate: Gate, batch_limit: int, sizes: list[int]) -> None:
        super().__init__(reader)
        self.batch_limit = batch_limit
        self._gate = gate
        self._sizes = sizes

    def run(self, squares: Tensor) -> BatchOutput:
        self._gate.pass_through()
        self._sizes.append(len(squares))
        if any(torch.allclose(square, torch.tensor(POISON)) for square in squares):
            raise RuntimeError("poisoned")
        return super().run(squares)
