import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from training.fakes.quality.distances import (
    Features,
    frechet_distance,
    kernel_distance,
    nearest_distances,
)


def normal(seed: int, *, mean: float = 0.0, count: int = 120) -> Features:
    rng = np.random.default_rng(seed)
    return rng.normal(mean, 1, (count, 6)).astype(np.float32)


class AsGiven(nn.Module):
    """The network of a reference that is given features already."""

    num_features = 6

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.parametrize("count", [4, 90])
def test_the_frechet_distance_is_that_of_torchmetrics(count: int) -> None:
    made = normal(1, mean=0.5, count=count) @ np.diag(np.arange(1, 7, dtype=np.float32))
    real = normal(2)
    reference = FrechetInceptionDistance(feature=AsGiven())
    reference.update(torch.from_numpy(real), real=True)
    reference.update(torch.from_numpy(made), real=False)

    assert frechet_distance(made, real) == pytest.approx(float(reference.compute()), rel=1e-3)


def test_the_kernel_distance_is_the_unbiased_discrepancy_under_a_cubic_kernel() -> None:
    made, real = normal(1, mean=0.7, count=90), normal(2, count=90)

    def kernel(a: Features, b: Features) -> Features:
        cubes: Features = (a.astype(np.float64) @ b.T / a.shape[1] + 1) ** 3
        return cubes

    def within(x: Features) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    # All scans fit into one subset, so every subset is the same.
    expected = within(made) + within(real) - 2 * kernel(made, real).mean()
    assert kernel_distance(made, real) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_what_is_alike_is_near_and_what_is_not_is_far(distance: object) -> None:
    assert callable(distance)
    alike = distance(normal(1), normal(2))
    other = distance(normal(1, mean=1.0), normal(2))

    assert alike < 0.5 < other
    assert distance(normal(1), normal(2)) == alike  # the subsets are the same each time


def test_the_nearest_of_others_is_found_mirrored_or_not() -> None:
    rng = np.random.default_rng(0)
    real = torch.from_numpy(rng.integers(0, 256, (5, 1, 8, 8), dtype=np.uint8))
    lighter = (real[2].int() + 10).clamp(0, 255).to(torch.uint8)
    black = torch.zeros(1, 8, 8, dtype=torch.uint8)

    distances = nearest_distances(torch.stack([real[3].flip(-1), lighter, black]), real)

    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert distances[1] == pytest.approx(10 / 255, abs=4e-3)
    assert distances[2] == pytest.approx(
        np.sqrt(((real.numpy() / 255) ** 2).mean((1, 2, 3))).min(), rel=1e-4
    )
