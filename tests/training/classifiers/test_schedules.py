import pytest
import torch
from torch import nn

from training.classifiers.schedules import cosine_share, one_cycle, plateau


def an_optimiser(learning_rate: float = 1e-4) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], learning_rate)


def test_a_plateau_halves_the_rate_in_the_epochs_in_which_the_document_printed_it() -> None:
    """Document 000 prints the losses of its CNN 1: best in epoch 13, halved after epoch 16."""
    optimiser = an_optimiser()
    schedule = plateau(optimiser)

    rates = []
    for loss in [0.0182, 0.1282, 0.1009, 0.1925, 0.1447, 0.1038]:  # epochs 13 to 18
        schedule.step(loss)
        rates.append(optimiser.param_groups[0]["lr"])

    assert rates == pytest.approx([1e-4, 1e-4, 1e-4, 5e-5, 5e-5, 5e-5])


def test_a_plateau_is_left_by_a_loss_that_is_lower_by_a_ten_thousandth() -> None:
    optimiser = an_optimiser(1.0)
    schedule = plateau(optimiser)

    for loss in [0.5, 0.49995, 0.4998, 0.49975, 0.4997]:
        schedule.step(loss)

    assert optimiser.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 1.0), (25, 0.5), (50, 0.0), (10, 0.904508497187474)]
)
def test_a_cosine_falls_as_in_the_source_of_document_000(epoch: int, expected: float) -> None:
    assert cosine_share(epoch, 50) == pytest.approx(expected)


def test_one_cycle_ends_with_the_phase_far_below_its_peak() -> None:
    optimiser = an_optimiser()
    schedule = one_cycle(optimiser, peak=1e-2, steps=40)

    rates = []
    for _ in range(40):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()

    assert max(rates) == pytest.approx(1e-2, rel=0.05)
    assert rates.index(max(rates)) == pytest.approx(6, abs=1)
    assert rates[-1] < 1e-4
