import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector, build
from app.detection.card import ArchitectureSpec
from app.detection.preprocessing import normalise
from app.engine import backends as backends_module
from app.engine.backends import (
    BatchOutput,
    CpuBackend,
    CudaBackend,
    GreyReader,
    Machine,
    make_backend,
    run_halving,
)
from app.engine.protocol import CPU, CUDA
from tests.factories import make_card

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
CARD = make_card(
    architecture=ArchitectureSpec(name="plain_cnn", arguments={"widths": [4, 8], "sharpness": 2.0})
)


@pytest.fixture
def network() -> Detector:
    torch.manual_seed(0)
    return build(CARD.architecture).eval()


@pytest.fixture
def reader(network: Detector) -> GreyReader:
    return GreyReader(network, CARD.preprocessing)


def squares(count: int) -> Tensor:
    return torch.rand(count, 64, 64, generator=torch.Generator().manual_seed(1))


def machine(kind: str, folder: Path) -> Machine:
    """Return a machine that runs PyTorch, a graph or the GPU."""
    return Machine(
        device=CUDA if kind == CUDA else CPU,
        max_batch=8,
        threads=1,
        graphs_dir=folder if kind == "cpu (openvino)" else None,
    )


# --- what every backend does ----------------------------------------------------------------

KINDS = (CPU, "cpu (openvino)", pytest.param(CUDA, marks=needs_gpu))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_backend_says_what_the_network_says_of_each_scan(
    kind: str, count: int, network: Detector, tmp_path: Path
) -> None:
    batch = squares(count)
    with torch.inference_mode():
        expected = copy.deepcopy(network)(normalise(batch, CARD.preprocessing))

    output = make_backend(lambda: network, CARD, machine(kind, tmp_path)).run(batch)

    drift = 2e-2 if kind == CUDA else 1e-4
    assert output.device == kind
    assert output.logits.dtype == output.evidence.dtype == np.float32
    assert np.allclose(output.logits, expected.logits.numpy(), atol=drift)
    assert np.allclose(output.evidence, expected.evidence.numpy(), atol=drift)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_backend_has_answered_is_not_changed_by_the_next_scan(
    kind: str, network: Detector, tmp_path: Path
) -> None:
    backend = make_backend(lambda: network, CARD, machine(kind, tmp_path))

    first = backend.run(squares(1))
    kept = first.logits.copy(), first.evidence.copy()
    backend.run(1 - squares(1))

    assert np.array_equal(first.logits, kept[0])
    assert np.array_equal(first.evidence, kept[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_that_is_no_number_gives_none_to_itself_alone(
    kind: str, network: Detector, tmp_path: Path
) -> None:
    batch = squares(2)
    batch[0] = torch.nan

    output = make_backend(lambda: network, CARD, machine(kind, tmp_path)).run(batch)

    assert not np.isfinite(output.logits[0])
    assert np.isfinite(output.logits[1])


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_gpu_judges_scans_in_batches(kind: str, network: Detector, tmp_path: Path) -> None:
    backend = make_backend(lambda: network, CARD, machine(kind, tmp_path))

    assert backend.batch_limit == (8 if kind == CUDA else 1)


@needs_gpu
def test_what_overflows_in_half_precision_is_judged_in_single_precision(
    reader: GreyReader,
) -> None:
    batch = squares(2) * 1e5
    expected = CpuBackend(copy.deepcopy(reader)).run(batch)

    output = CudaBackend(reader, Machine(device=CUDA, max_batch=8)).run(batch)

    assert np.isfinite(output.logits).all()
    assert np.allclose(output.logits, expected.logits, rtol=1e-3)


def test_a_network_that_does_not_fit_on_the_gpu_at_all_runs_on_the_cpu(
    network: Detector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_reader: GreyReader, _machine: Machine) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(backends_module, "CudaBackend", full)

    output = make_backend(lambda: network, CARD, Machine(device=CUDA)).run(squares(1))

    assert output.device == CPU
    assert "no memory" in caplog.text


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
    means = batch.mean((1, 2)).numpy()
    return BatchOutput(means, means[:, None, None], device)


def on_cpu(batch: Tensor) -> BatchOutput:
    return answer(batch, CPU)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("room", [0, 1, 2, 3, 8])
def test_a_batch_that_does_not_fit_is_halved_and_every_scan_keeps_its_place(
    count: int, room: int
) -> None:
    batch = squares(count)
    gpu = SmallGpu(room)

    output = run_halving(gpu.run, on_cpu, batch)

    assert np.array_equal(output.logits, answer(batch, CUDA).logits)
    assert output.evidence.shape == (count, 1, 1)
    assert output.device == (CPU if room == 0 else CUDA)
    assert gpu.asked[0] == count


def test_a_batch_that_fits_is_run_once() -> None:
    gpu = SmallGpu(8)

    run_halving(gpu.run, on_cpu, squares(8))

    assert gpu.asked == [8]


def test_another_fault_is_not_taken_for_a_lack_of_memory() -> None:
    def broken(_batch: Tensor) -> BatchOutput:
        raise RuntimeError("an illegal instruction")

    with pytest.raises(RuntimeError, match="illegal"):
        run_halving(broken, on_cpu, squares(4))
