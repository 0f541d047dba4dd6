"""How a network is run on a device. One backend runs one network.

A runtime of another kind is one more class with ``batch_limit`` and ``run``, chosen in
``make_backend``.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.detection.architectures import Detector, DetectorOutput
from app.detection.card import Card, PreprocessingSpec
from app.detection.gate_card import GateCard
from app.detection.preprocessing import normalise
from app.engine.protocol import CPU, CUDA
from app.errors import VeriscanError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """On what the networks run.

    Attributes:
        device: ``cpu`` or ``cuda``.
        max_batch: How many scans a GPU judges at once.
        threads: Threads for one scan on the CPU; None is one a core.
        graphs_dir: Folder for graphs that were exported for the CPU, made where missing; None
            runs PyTorch itself, which needs no export and is slower.
        out_of_memory: Is called, by any thread, whenever the GPU has no memory for something.
    """

    device: str
    max_batch: int = 1
    threads: int | None = None
    graphs_dir: Path | None = None
    out_of_memory: Callable[[], None] = lambda: None


class BatchOutput(NamedTuple):
    """What a network said of a batch.

    Attributes:
        logits: Before calibration, positive towards FAKE, float32, shape ``[B]``.
        evidence: The logit of each cell, float32, shape ``[B, h, w]``.
        device: Where it ran in the end: ``cpu``, ``cpu (openvino)`` or ``cuda``.
    """

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]
    device: str


class Backend(Protocol):
    """Runs one network."""

    @property
    def batch_limit(self) -> int:
        """The largest batch worth running, in scans."""

    def run(self, squares: Tensor) -> BatchOutput:
        """Judge grey values on the CPU, float32 in [0, 1], shape ``[B, S, S]``."""


class GreyReader(nn.Module):
    """A detector that takes grey values: to normalise them is its first step.

    A third of what the network itself reads has to be moved to it, and an exported graph contains
    everything from the prepared scan on.

    Args:
        network: In evaluation mode.
        preprocessing: From the card of its weights.
    """

    def __init__(self, network: Detector, preprocessing: PreprocessingSpec) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.preprocessing = preprocessing
        self.eval()

    def forward(self, squares: Tensor) -> DetectorOutput:
        """Return logits and evidence for grey values in [0, 1], shape ``[B, S, S]``."""
        images = normalise(squares, self.preprocessing)
        output: DetectorOutput = self.network(images.contiguous(memory_format=torch.channels_last))
        return output


class CpuBackend:
    """Eager PyTorch on the CPU, in float32.

    EfficientNet-B4 on 384 pixels takes about a tenth less time with channels last. In a batch of
    four a scan took a third longer than alone, so each is judged alone, and the first does not
    wait for the last.
    """

    batch_limit = 1

    def __init__(self, reader: GreyReader) -> None:
        self._reader = reader

    def run(self, squares: Tensor) -> BatchOutput:
        """Judge grey values, float32 in [0, 1], shape ``[B, S, S]``."""
        with torch.inference_mode():
            logits, evidence = self._reader(squares)
        return BatchOutput(logits.numpy(), evidence.numpy(), CPU)


class CudaBackend:
    """PyTorch on the GPU in half precision; what the GPU cannot do is done on the CPU.

    Scans whose result is not finite in half precision are judged again in single precision.
    A batch that does not fit into the GPU's memory is halved until it does.

    Args:
        reader: On the CPU; a copy moves to the GPU.
        machine: With the GPU, and the largest batch.
    """

    def __init__(self, reader: GreyReader, machine: Machine) -> None:
        self._machine = machine
        self._reader = copy.deepcopy(reader).to(CUDA)
        self._on_cpu = CpuBackend(reader)

    @property
    def batch_limit(self) -> int:
        """The largest batch worth running, in scans."""
        return self._machine.max_batch

    def run(self, squares: Tensor) -> BatchOutput:
        """Judge grey values on the CPU, float32 in [0, 1], shape ``[B, S, S]``."""
        return run_halving(self._tried_on_gpu, self._on_cpu.run, squares)

    def _tried_on_gpu(self, squares: Tensor) -> BatchOutput:
        try:
            return self._run_on_gpu(squares)
        except torch.OutOfMemoryError:
            self._machine.out_of_memory()
            raise

    def _run_on_gpu(self, squares: Tensor) -> BatchOutput:
        # From page-locked memory the copy goes at the full speed of the bus.
        on_gpu = squares.pin_memory().to(CUDA, non_blocking=True)
        output = self._forward(on_gpu, half_precision=True)
        if not (np.isfinite(output.logits).all() and np.isfinite(output.evidence).all()):
            output = self._forward(on_gpu, half_precision=False)
        return output

    def _forward(self, squares: Tensor, *, half_precision: bool) -> BatchOutput:
        with torch.inference_mode(), torch.autocast(CUDA, torch.float16, enabled=half_precision):
            logits, evidence = self._reader(squares)
        return BatchOutput(logits.float().cpu().numpy(), evidence.float().cpu().numpy(), CUDA)


def make_backend(
    make_network: Callable[[], Detector], card: Card | GateCard, machine: Machine
) -> Backend:
    """Return what runs a network on a machine.

    Args:
        make_network: Builds it, in evaluation mode, float32, on the CPU. On the CPU a
            network whose graph is stored is not built, which saves seconds and much memory.
        card: Of its weights.
        machine: What to run it on. A GPU without room for the network leaves it to the CPU.

    Raises:
        VeriscanError: What ``make_network`` raises.
    """
    make_reader = cache(lambda: GreyReader(make_network(), card.preprocessing))
    if machine.device == CUDA:
        try:
            return CudaBackend(make_reader(), machine)
        except torch.OutOfMemoryError:
            machine.out_of_memory()
            torch.cuda.empty_cache()
            logger.warning("The GPU has no memory for a network; it runs on the CPU.")
    if machine.graphs_dir is not None:
        from app.engine.graphs import GraphCache, graph_backend

        try:
            return graph_backend(make_reader, card, GraphCache(machine.graphs_dir), machine.threads)
        except VeriscanError:  # there is no network at all
            raise
        except Exception:  # not installed, a network that cannot be exported, a disk that is full …
            logger.warning("A network runs in PyTorch, which is slower.", exc_info=True)
    return CpuBackend(make_reader())


def run_halving(
    run: Callable[[Tensor], BatchOutput], fall_back: Callable[[Tensor], BatchOutput], images: Tensor
) -> BatchOutput:
    """Run a batch; out of memory, run its halves; a single image that does not fit, fall back."""
    try:
        return run(images)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    count = len(images)
    if count == 1:
        logger.warning("The GPU has no memory for a single scan; it is judged on the CPU.")
        return fall_back(images)
    logger.warning("The GPU has no memory for %d scans at once; trying half as many.", count)
    parts = [run_halving(run, fall_back, half) for half in images.chunk(2)]
    return BatchOutput(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.evidence for part in parts]),
        CPU if any(part.device == CPU for part in parts) else CUDA,
    )
