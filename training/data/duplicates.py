"""Scans that show the same image: copies that were encoded, scaled, mirrored or inverted anew.

The fingerprint of a scan is its structure at 64 × 64 pixels without the coarse shading, so that
exposure, size and file format do not count. Two fingerprints are compared by their correlation.

Measured on 2,385 knees and 847 lung slices: scans of different people reach at most 0.88, mirrored,
upside-down and inverted ones included. Copies keep at least 0.957 after JPEG at quality 50, 0.973
at half the size, 0.985 at one and a half times the size, 0.976 after a blur. A copy cropped by 2 %
a side, or turned by a quarter, is not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.data.manifest import Scan

SIDE = 64
SHADING_SIGMA = 3.0
SAME_IMAGE = 0.955
ROWS_AT_ONCE = 512
Fingerprint = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two scans of the same image: their positions in the list, the earlier one first."""

    first: int
    second: int
    likeness: float


def fingerprint(grey: NDArray[np.float32]) -> Fingerprint:
    """Return what is compared of a scan.

    Args:
        grey: float32 in [0, 1], shape ``[H, W]``.

    Returns:
        float32, shape ``[64, 64]``, mean 0 and norm 1; all 0 where the scan shows nothing.
    """
    small = Image.fromarray(grey.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    structure = np.asarray(small, dtype=np.float32)
    structure = structure - ndimage.gaussian_filter(structure, SHADING_SIGMA)
    structure = structure - structure.mean()
    norm = float(np.linalg.norm(structure))
    return structure / norm if norm > 1e-3 else np.zeros_like(structure)


def strangers_alike(scans: Sequence[Scan], fingerprints: Sequence[Fingerprint]) -> list[Pair]:
    """Return the pairs of scans that show the same image but stand for different people.

    A scan is not compared with its own patient's, nor with the scan that it was made from.

    Args:
        scans: With patient and origin.
        fingerprints: Of each of them.
    """
    people = np.unique([scan.person for scan in scans], return_inverse=True)[1]
    roots = np.unique([scan.origin or str(scan.path) for scan in scans], return_inverse=True)[1]
    return [
        pair
        for pair in _alike(np.stack(fingerprints))
        if people[pair.first] != people[pair.second] and roots[pair.first] != roots[pair.second]
    ]


def _alike(fingerprints: NDArray[np.float32]) -> Iterator[Pair]:
    """Compare everything with everything, as it is, mirrored and inverted, some rows at a time."""
    count = len(fingerprints)
    upright = fingerprints.reshape(count, -1)
    copies = [
        np.ascontiguousarray(fingerprints[:, ::down, ::across]).reshape(count, -1)
        for down in (1, -1)
        for across in (1, -1)
    ]
    for start in range(0, count, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        # An inverted copy correlates as strongly, with the other sign.
        likeness = np.max([np.abs(copy[rows] @ upright[start:].T) for copy in copies], axis=0)
        for row, column in zip(*np.nonzero(likeness >= SAME_IMAGE), strict=True):
            if row < column:
                yield Pair(
                    start + int(row), start + int(column), float(min(likeness[row, column], 1))
                )
