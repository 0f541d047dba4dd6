"""How a network is run on a device. One backend runs one network.

A runtime of another kind, such as an exported graph for the CPU, is one more class with
``batch_limit`` and ``run``, chosen in ``make_backend``.
"""

import copy
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.detection.architectures import Detector
from app.engine.protocol import CPU, CUDA

logger = logging.getLogger(__name__)


class BatchOutput(NamedTuple):
    """What a network said of a batch.

    Attributes:
        logits: Before calibration, positive towards FAKE, float32, shape ``[B]``.
        evidence: The logit of each cell, float32, shape ``[B, h, w]``.
        device: Where it ran in the end: ``cpu`` or ``cuda``.
    """

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]
    device: str


class Backend(Protocol):
    """Runs one network."""

    @property
    def batch_limit(self) -> int:
        """The largest batch worth running, in scans."""

    def run(self, images: Tensor) -> BatchOutput:
        """Judge normalised images on the CPU, float32, shape ``[B, 3, S, S]``."""


class CpuBackend:
    """Eager PyTorch on the CPU, in float32.

    EfficientNet-B4 on 384 pixels takes about a tenth less time with channels last. In a batch of
    four a scan took a third longer than alone, so each is judged alone, and the first does not
    wait for the last.
    """

    batch_limit = 1

    def __init__(self, network: Detector) -> None:
        self._network = network.to(memory_format=torch.channels_last)

    def run(self, images: Tensor) -> BatchOutput:
        """Judge normalised images, float32, shape ``[B, 3, S, S]``."""
        with torch.inference_mode():
            logits, evidence = self._network(images.contiguous(memory_format=torch.channels_last))
        return BatchOutput(logits.numpy(), evidence.numpy(), CPU)


class CudaBackend:
    """PyTorch on the GPU in half precision; what the GPU cannot do is done on the CPU.

    Scans whose result is not finite in half precision are judged again in single precision.
    A batch that does not fit into the GPU's memory is halved until it does.

    Args:
        network: On the CPU; a copy moves to the GPU.
        max_batch: Largest batch, in scans.
    """

    def __init__(self, network: Detector, max_batch: int) -> None:
        self._max_batch = max_batch
        on_gpu = copy.deepcopy(network).to(CUDA)
        self._network = on_gpu.to(memory_format=torch.channels_last)
        self._on_cpu = CpuBackend(network)

    @property
    def batch_limit(self) -> int:
        """The largest batch worth running, in scans."""
        return self._max_batch

    def run(self, images: Tensor) -> BatchOutput:
        """Judge normalised images on the CPU, float32, shape ``[B, 3, S, S]``."""
        return run_halving(self._run_on_gpu, self._on_cpu.run, images)

    def _run_on_gpu(self, images: Tensor) -> BatchOutput:
        output = self._forward(images, half_precision=True)
        if not (np.isfinite(output.logits).all() and np.isfinite(output.evidence).all()):
            output = self._forward(images, half_precision=False)
        return output

    def _forward(self, images: Tensor, *, half_precision: bool) -> BatchOutput:
        with torch.inference_mode(), torch.autocast(CUDA, torch.float16, enabled=half_precision):
            logits, evidence = self._network(
                images.to(CUDA).contiguous(memory_format=torch.channels_last)
            )
        return BatchOutput(logits.float().cpu().numpy(), evidence.float().cpu().numpy(), CUDA)


def make_backend(network: Detector, device: str, max_batch: int) -> Backend:
    """Return what runs ``network`` on ``device`` (``cpu`` or ``cuda``)."""
    return CudaBackend(network, max_batch) if device == CUDA else CpuBackend(network)


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
