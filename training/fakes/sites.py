"""Where a forger would edit a scan: tissue and structures found without annotations."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.intp]
"""Rows and columns, shape ``[N, 2]``."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Candidates for edits.

    Attributes:
        structures: Points on something that could be taken away, or that an inserted finding
            would look like (a nodule-like spot, an osteophyte).
        plain: Points in plain tissue, where something could be put.
    """

    structures: Points
    plain: Points


def lung_sites(grey: NDArray[np.float32]) -> Sites:
    """Find small bright spots within the lungs, and lung tissue away from them."""
    return sites_within(lung_mask(grey), grey)


def sites_within(lungs: NDArray[np.bool_], grey: NDArray[np.float32]) -> Sites:
    """Find what ``lung_sites`` finds, where the lungs are known already."""
    inner = ndimage.binary_erosion(lungs, iterations=6)
    spots = ndimage.gaussian_filter(grey, 2.0) - ndimage.gaussian_filter(grey, 6.0)
    if not inner.any():
        empty = np.empty((0, 2), dtype=np.intp)
        return Sites(structures=empty, plain=empty)
    strong = max(0.03, float(np.percentile(spots[inner], 97)))
    peaks = (spots == ndimage.maximum_filter(spots, size=9)) & (spots > strong) & inner
    plain = inner & (spots < np.percentile(spots[inner], 70))
    return Sites(structures=np.argwhere(peaks), plain=np.argwhere(plain))


def lung_mask(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Segment the lungs of an axial slice: air within the body, vessels filled in.

    Args:
        grey: float32 in [0, 1], any window that shows lung darker than soft tissue.
    """
    tissue = ndimage.gaussian_filter(grey, 1.0) > otsu_threshold(grey)
    labels, count = ndimage.label(ndimage.binary_opening(tissue, iterations=2))
    if count == 0:
        return np.zeros(grey.shape, dtype=bool)
    largest = 1 + int(np.argmax(ndimage.sum_labels(tissue, labels, range(1, count + 1))))
    body = ndimage.binary_fill_holes(ndimage.binary_closing(labels == largest, iterations=3))
    air = ndimage.binary_opening(body & ~tissue, iterations=2)
    labels, count = ndimage.label(air)
    sizes = ndimage.sum_labels(air, labels, range(1, count + 1))
    large = [i + 1 for i, size in enumerate(sizes) if size > 0.005 * grey.size]
    lungs: NDArray[np.bool_] = ndimage.binary_closing(np.isin(labels, large), iterations=5)
    return lungs


def knee_sites(grey: NDArray[np.float32]) -> Sites:
    """Find bone margins around the joint, and even bone or soft tissue near it."""
    height, width = grey.shape
    edges = ndimage.gaussian_gradient_magnitude(grey, 2.0)
    region = np.zeros(grey.shape, dtype=bool)
    region[int(0.25 * height) : int(0.75 * height), int(0.12 * width) : int(0.88 * width)] = True
    structures = region & (edges > np.percentile(edges[region], 85))
    plain = region & (edges < np.percentile(edges[region], 40))
    return Sites(structures=np.argwhere(structures), plain=np.argwhere(plain))


def otsu_threshold(grey: NDArray[np.float32]) -> float:
    """Return the threshold that divides the grey values best (Otsu 1979), in [0, 1]."""
    counts, edges = np.histogram(grey[grey > 0.02], bins=256, range=(0, 1))
    total = counts.sum()
    if np.count_nonzero(counts) < 2:
        return 0.5  # nothing to divide
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts) / total
    mean_below = np.cumsum(counts * centers) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean_below[-1] * below - mean_below) ** 2 / (below * (1 - below))
    return float(centers[int(np.nanargmax(between))])


SITE_FINDERS: dict[str, Callable[[NDArray[np.float32]], Sites]] = {
    "lung": lung_sites,
    "knee": knee_sites,
}
"""By the name that a data set's config gives."""

SITES_OF_MODALITY = {"lung_ct": lung_sites, "knee_xray": knee_sites}
