import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector, build
from app.detection.card import ArchitectureSpec
from app.engine.backends import (
    BatchOutput,
    CpuBackend,
    CudaBackend,
    make_backend,
    run_halving,
)
from app.engine.protocol import CPU, CUDA

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@pytest.fixture
def network() -> Detector:
    torch.manual_seed(0)
    spec = ArchitectureSpec(name="plain_cnn", arguments={"widths": [4, 8], "sharpness": 2.0})
    return build(spec).eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_the_cpu_backend_agrees_with_the_network_itself(network: Detector) -> None:
    batch = images(3)
    with torch.inference_mode():
        expected = copy.deepcopy(network)(batch)

    output = make_backend(network, CPU, max_batch=8).run(batch)

    assert output.device == CPU
    assert output.logits.dtype == output.evidence.dtype == np.float32
    assert np.allclose(output.logits, expected.logits.numpy(), atol=1e-5)
    assert np.allclose(output.evidence, expected.evidence.numpy(), atol=1e-5)


def test_the_cpu_judges_one_scan_at_a_time(network: Detector) -> None:
    assert make_backend(network, CPU, max_batch=8).batch_limit == 1


@needs_gpu
def test_the_gpu_backend_agrees_with_the_cpu(network: Detector) -> None:
    batch = images(5)
    expected = CpuBackend(copy.deepcopy(network)).run(batch)

    backend = make_backend(network, CUDA, max_batch=8)
    output = backend.run(batch)

    assert backend.batch_limit == 8
    assert output.device == CUDA
    assert np.allclose(output.logits, expected.logits, atol=2e-2)
    assert np.allclose(output.evidence, expected.evidence, atol=5e-2)


@needs_gpu
def test_what_overflows_in_half_precision_is_judged_in_single_precision(
    network: Detector,
) -> None:
    batch = images(2) * 1e5
    expected = CpuBackend(copy.deepcopy(network)).run(batch)

    output = CudaBackend(network, max_batch=8).run(batch)

    assert np.isfinite(output.logits).all()
    assert np.allclose(output.logits, expected.logits, rtol=1e-3)


# --- a GPU whose memory is full -------------------------------------------------------------


class SmallGpu:
    """Runs batches of at most ``room`` images and keeps a record of what it was asked for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[int] = []

    def run(self, batch: Tensor) -> BatchOutput:
        self.asked.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError
        return answer(batch, CUDA)


def answer(batch: Tensor, device: str) -> BatchOutput:
    means = batch.mean((1, 2, 3)).numpy()
    return BatchOutput(means, means[:, None, None], device)


def on_cpu(batch: Tensor) -> BatchOutput:
    return answer(batch, CPU)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("room", [0, 1, 2, 3, 8])
def test_a_batch_that_does_not_fit_is_halved_and_every_scan_keeps_its_place(
    count: int, room: int
) -> None:
    batch = images(count)
    gpu = SmallGpu(room)

    output = run_halving(gpu.run, on_cpu, batch)

    assert np.array_equal(output.logits, answer(batch, CUDA).logits)
    assert output.evidence.shape == (count, 1, 1)
    assert output.device == (CPU if room == 0 else CUDA)
    assert gpu.asked[0] == count


def test_a_batch_that_fits_is_run_once() -> None:
    gpu = SmallGpu(8)

    run_halving(gpu.run, on_cpu, images(8))

    assert gpu.asked == [8]


def test_another_fault_is_not_taken_for_a_lack_of_memory() -> None:
    def broken(_batch: Tensor) -> BatchOutput:
        raise RuntimeError("an illegal instruction")

    with pytest.raises(RuntimeError, match="illegal"):
        run_halving(broken, on_cpu, images(4))
