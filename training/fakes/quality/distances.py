"""Distances between two heaps of images, seen by a network or pixel by pixel."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

Features = NDArray[np.float32]
"""One row an image, shape ``[N, F]``."""

MIN_SCANS = 10
SUBSETS = 50


class _AsGiven(nn.Module):
    """Stands where torchmetrics expects its network: the features have been computed already."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(made: Features, real: Features) -> float:
    """Return the Fréchet distance of two normal distributions fitted to features.

    Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, "GANs Trained by a Two Time-Scale Update
    Rule Converge to a Local Nash Equilibrium", NeurIPS 2017, https://arxiv.org/abs/1706.08500. It
    grows as samples get fewer: compare figures of equally many only.
    """
    spread_made, spread_real = (
        (x - x.mean(0)).astype(np.float64) / np.sqrt(len(x) - 1) for x in (made, real)
    )
    # The trace of the root of both covariances' product is the sum of these singular values. So
    # the matrix has a row an image, not one a feature: seconds become milliseconds.
    common = np.linalg.svd(spread_made @ spread_real.T, compute_uv=False).sum()
    means = made.mean(0, dtype=np.float64) - real.mean(0, dtype=np.float64)
    return float((means**2).sum() + (spread_made**2).sum() + (spread_real**2).sum() - 2 * common)


def kernel_distance(made: Features, real: Features) -> float:
    """Return the squared maximum mean discrepancy of features under a cubic kernel.

    Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018,
    https://arxiv.org/abs/1801.01401. Unbiased, so it may fall below zero.
    """
    with warnings.catch_warnings():  # it keeps all features, as it says: they are few
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance`")
        size = min(100, len(made), len(real))
        metric = KernelInceptionDistance(
            feature=_AsGiven(made.shape[1]), subsets=SUBSETS, subset_size=size
        )
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(made), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the subsets
        return float(metric.compute()[0])


def nearest_distances(made: Tensor, real: Tensor) -> NDArray[np.float64]:
    """Return how far each image is from the nearest of others, mirrored or not.

    Args:
        made: uint8, shape ``[N, 1, S, S]``.
        real: uint8, shape ``[M, 1, S, S]``.

    Returns:
        Root mean square differences of grey values in [0, 1], shape ``[N]``.
    """
    side = made.shape[-1]
    both = torch.cat([real, real.flip(-1)]).float().flatten(1) / 255
    distances = torch.cdist(made.float().flatten(1) / 255, both) / side
    return distances.min(1).values.double().numpy()
