"""Outlines of lung nodules, drawn at random: what an injected finding shall look like.

Annotated nodules are needed to learn their outlines, and prepared scans come without. So their
shapes are drawn here: solid, round or oval, of 5 to 18 mm, some lobulated, some flattened on a
side, as the ones that CT-GAN's cubes cut off.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_RADIUS, GREATEST_RADIUS = 2.5, 9.0  # voxels of 1 mm
LOBES = (2, 3, 4, 5)
FLATTENED = 0.35  # share of the nodules with one to three straight sides
SKETCH_BLUR = 1.5  # voxels


def nodule(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a nodule near the middle: its share of each voxel, in [0, 1], ``[side, side]``."""
    row, column = (side - 1) / 2 + rng.uniform(-2, 2, size=2)
    rows, columns = np.mgrid[:side, :side] - np.array([row, column])[:, None, None]
    radius = rng.uniform(LEAST_RADIUS, GREATEST_RADIUS)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = (np.cos(angle) * rows - np.sin(angle) * columns) / stretch
    power = float(rng.choice([2.0, 2.0, 2.5, 4.0]))  # 2 is an ellipse, more has corners
    reach = (np.abs(along) ** power + np.abs(across) ** power) ** (1 / power)
    polar = np.arctan2(across, along)
    lobes = sum(
        rng.uniform(0, 0.25 / k) * np.cos(k * polar + rng.uniform(0, 2 * np.pi)) for k in LOBES
    )
    depth = radius * (1 + lobes) - reach
    if rng.random() < FLATTENED:
        for _ in range(int(rng.integers(1, 4))):
            sign, axis = rng.choice([-1, 1]), rows if rng.random() < 0.5 else columns
            depth = np.minimum(depth, radius * rng.uniform(0.6, 0.95) - sign * axis)
    softness = rng.uniform(0.5, 1.2)
    return np.clip(depth / (2 * softness) + 0.5, 0, 1).astype(np.float32)


def sketch_of(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a nodule's outline without its detail: what a painter is told of it."""
    return ndimage.gaussian_filter(shares, SKETCH_BLUR).astype(np.float32)
