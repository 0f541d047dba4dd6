import math

import pytest
import torch
from torch import Tensor, nn

from app.detection.architectures import DetectorOutput, build
from app.detection.card import ArchitectureSpec
from training.classifiers.losses import PenaltyError, detector_loss, l2_penalty
from training.recipe import L2Config

CELLS = 4
PIXELS = 32


def output(logits: list[float], evidence: Tensor | float = 0.0) -> DetectorOutput:
    cells = torch.as_tensor(evidence).expand(len(logits), CELLS, CELLS)
    return DetectorOutput(logits=torch.tensor(logits), evidence=cells)


def masks_with(first: float, count: int = 1) -> Tensor:
    """Return masks whose first cell is fake in the share ``first`` of its pixels."""
    masks = torch.zeros(count, PIXELS, PIXELS)
    masks[:, :8, :8] = first
    return masks


def entropy(logit: float, label: float) -> float:
    return math.log1p(math.exp(-logit if label else logit))


def test_without_cells_it_is_the_cross_entropy_of_the_scans() -> None:
    loss = detector_loss(
        output([2.0, -1.0]), torch.zeros(2, PIXELS, PIXELS), torch.tensor([1.0, 0.0]), cell_loss=0.0
    )

    assert loss.item() == pytest.approx((entropy(2.0, 1) + entropy(-1.0, 0)) / 2, abs=1e-6)


def test_with_cells_alone_both_kinds_of_cells_weigh_the_same() -> None:
    evidence = torch.full((1, CELLS, CELLS), -3.0)
    evidence[:, 0, 0] = 0.5

    loss = detector_loss(
        output([9.0], evidence), masks_with(1.0), torch.tensor([1.0]), cell_loss=1.0
    )

    # One cell is fake and fifteen are real.
    assert loss.item() == pytest.approx((entropy(0.5, 1) + entropy(-3.0, 0)) / 2, abs=1e-6)


def test_scans_and_cells_are_mixed_by_their_share() -> None:
    arguments = output([1.0, -2.0], 0.3), masks_with(1.0, 2), torch.tensor([1.0, 0.0])
    scans, cells = (detector_loss(*arguments, cell_loss=share).item() for share in (0.0, 1.0))

    mixed = detector_loss(*arguments, cell_loss=0.25).item()

    assert mixed == pytest.approx(0.75 * scans + 0.25 * cells, abs=1e-6)


@pytest.mark.parametrize(("share", "counts"), [(0.005, True), (0.1, False), (0.29, False)])
def test_a_cell_that_is_a_little_fake_counts_as_neither(share: float, counts: bool) -> None:
    evidence = torch.full((1, CELLS, CELLS), -30.0)
    evidence[:, 0, 0] = 5.0  # would cost much if this cell counted as real

    loss = detector_loss(
        output([0.0], evidence), masks_with(share), torch.tensor([1.0]), cell_loss=1.0
    )

    assert (loss.item() > 0.1) == counts


def test_a_cell_that_is_fake_by_a_third_counts_as_fake() -> None:
    evidence = torch.full((1, CELLS, CELLS), -30.0)

    loss = detector_loss(
        output([0.0], evidence), masks_with(0.34), torch.tensor([1.0]), cell_loss=1.0
    )

    assert loss.item() == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_batch_with_one_kind_of_cells_is_no_obstacle(value: float) -> None:
    loss = detector_loss(
        output([0.0], 0.0),
        torch.full((1, PIXELS, PIXELS), value),
        torch.tensor([value]),
        cell_loss=0.5,
    )

    assert loss.item() == pytest.approx(0.5 * math.log(2) + 0.25 * math.log(2), abs=1e-6)


def test_the_gradient_pushes_fake_cells_up_and_real_ones_down() -> None:
    evidence = torch.zeros(1, CELLS, CELLS, requires_grad=True)

    loss = detector_loss(
        DetectorOutput(logits=evidence.mean((1, 2)), evidence=evidence),
        masks_with(1.0),
        torch.tensor([1.0]),
        cell_loss=1.0,
    )

    (gradient,) = torch.autograd.grad(loss, evidence)
    assert gradient[0, 0, 0] < 0
    assert (gradient[0, 1:, 1:] > 0).all()


# --- large weights --------------------------------------------------------------------------


def test_a_penalty_is_the_sum_of_squared_weights_without_biases_and_norms() -> None:
    network = build(ArchitectureSpec(name="document_cnn", arguments={"image_size": 32}))
    dense = network.get_parameter("dense.weight")
    trunk = network.get_submodule("trunk").modules()
    kernels = [layer.weight for layer in trunk if isinstance(layer, nn.Conv2d)]

    with torch.no_grad():
        head = l2_penalty(network, L2Config(strength=0.01))
        both = l2_penalty(network, L2Config(strength=0.01, on=["dense", "trunk"]))

        assert head == pytest.approx(0.01 * float(dense.square().sum()), rel=1e-5)
        rest = sum(float(kernel.square().sum()) for kernel in kernels)
        assert both - head == pytest.approx(0.01 * rest, rel=1e-4)


def test_without_a_penalty_nothing_is_added() -> None:
    network = build(ArchitectureSpec(name="document_cnn", arguments={"image_size": 32}))

    assert l2_penalty(network, None) == 0


def test_a_penalty_on_a_part_that_is_not_there_names_those_that_are() -> None:
    network = build(ArchitectureSpec(name="document_cnn", arguments={"image_size": 32}))

    with pytest.raises(PenaltyError, match=r"'tail'.*trunk, .*dense"):
        l2_penalty(network, L2Config(strength=0.01, on=["tail"]))
