"""What the painters of cubes learn from: patches as they shall become, and sketches of them."""

import numpy as np
from scipy import ndimage

from training.fakes.ctgan.hounsfield import LUNG_HU
from training.fakes.ctgan.nodules import nodule, sketch_of
from training.fakes.ctgan.painters import BORDER, CUBE_SIDE, HOLE_SIDE
from training.fakes.ctgan.touch_up import Units

NODULE_HU = (-250.0, 80.0)
GROUND_GLASS_HU = (-650.0, -350.0)
GROUND_GLASS = 0.1  # share of the nodules
REAL_STRUCTURES = 0.25  # share of the lessons in injection that are found instead of drawn
SURROUNDED = 1.3  # side of what is blended over that of the region
INNER = slice(BORDER, BORDER + HOLE_SIDE)


def window_side() -> int:
    """Return the voxels along a window: the cube and what surrounds it, an even number."""
    return 2 * round(SURROUNDED * CUBE_SIDE / 2)


def cube_of(voxels: Units) -> Units:
    """Return the cube within a window, as a view."""
    start = (len(voxels) - CUBE_SIDE) // 2
    return voxels[start : start + CUBE_SIDE, start : start + CUBE_SIDE]


def drawn_nodule(rng: np.random.Generator) -> tuple[Units, float]:
    """Draw a nodule in the middle of a cube: its share of each voxel, and its density in HU."""
    shares = np.zeros((CUBE_SIDE, CUBE_SIDE), dtype=np.float32)
    shares[INNER, INNER] = nodule(HOLE_SIDE, rng)
    densities = GROUND_GLASS_HU if rng.random() < GROUND_GLASS else NODULE_HU
    return shares, float(rng.uniform(*densities))


def sketched(shares: Units, level: float) -> Units:
    """Return what a painter is told of a nodule: its blurred outline, brighter the denser."""
    return (sketch_of(shares) * (level - LUNG_HU) / 1000).astype(np.float32)


def lesson(patch: Units, tamper: str, rng: np.random.Generator) -> tuple[Units, Units]:
    """Return a patch as it shall be painted, and the sketch for it.

    Args:
        patch: A cube of an authentic scan, in Hounsfield units, ``[32, 32]``.
        tamper: ``injection`` (a nodule is drawn into most patches) or ``removal``.
        rng: Draws the nodule.
    """
    if tamper == "removal":
        return patch, np.zeros_like(patch)
    if rng.random() < REAL_STRUCTURES:
        inner = np.zeros_like(patch)
        inner[INNER, INNER] = np.clip((patch[INNER, INNER] - LUNG_HU) / 1000, 0, 1)
        return patch, sketch_of(np.where(inner > 0.25, inner, 0))
    shares, level = drawn_nodule(rng)
    coarse = ndimage.gaussian_filter(rng.normal(0, 60, patch.shape), 2.0)
    grain = ndimage.gaussian_filter(rng.normal(0, 40, patch.shape), 0.6)
    solid = np.maximum(level + coarse + grain, patch)
    return (patch + shares * (solid - patch)).astype(np.float32), sketched(shares, level)
