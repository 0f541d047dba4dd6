"""What a photo editor offers to change a part of an image: cloning, filling, pasting."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

Grey = NDArray[np.float32]
Region = NDArray[np.bool_]

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def blob(side: int, rng: np.random.Generator) -> Region:
    """Draw a rounded, irregular outline as of a lasso, bool ``[side, side]``, free at the rim."""
    axis = np.linspace(-1, 1, side)
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.75, 1.0)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = (np.cos(angle) * rows - np.sin(angle) * columns) / stretch
    polar = np.arctan2(across, along)
    bumps = sum(
        rng.uniform(0, 0.3 / k) * np.cos(k * polar + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    region = np.hypot(along, across) < (1 + bumps) * rng.uniform(0.72, 0.85)
    region[[0, -1]] = region[:, [0, -1]] = False
    return region


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a copied part is turned and scaled.

    Attributes:
        degrees: Anticlockwise.
        scale: Above 1 the copy is larger than its source.
        mirrored: Whether left and right change places.
    """

    degrees: float = 0.0
    scale: float = 1.0
    mirrored: bool = False


def copied(grey: Grey, center: tuple[float, float], side: int, turn: Turn) -> Grey:
    """Return the part of a scan around ``center`` (row, column), turned: ``[side, side]``.

    Cubic splines resample it; beyond the scan's border it is mirrored.
    """
    # Only what a turned part can reach: resampling the whole scan takes a hundred times as long.
    reach = int(np.ceil(0.75 * side / turn.scale)) + 2
    top, left = max(0, round(center[0]) - reach), max(0, round(center[1]) - reach)
    near = grey[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    offset = np.arange(side) - side // 2
    rows, columns = np.meshgrid(offset, offset, indexing="ij")
    if turn.mirrored:
        columns = -columns
    cosine, sine = np.cos(np.radians(turn.degrees)), np.sin(np.radians(turn.degrees))
    at = (
        center[0] - top + (cosine * rows + sine * columns) / turn.scale,
        center[1] - left + (cosine * columns - sine * rows) / turn.scale,
    )
    still = turn.degrees == 0 and turn.scale == 1
    part = ndimage.map_coordinates(near, at, order=1 if still else 3, mode="reflect")
    return part.astype(np.float32)


def pasted(part: Grey, target: Grey, region: Region, *, feather: float) -> Grey:
    """Lay ``part`` over ``target`` within ``region``, its rim softened inwards.

    Args:
        part: float32 in [0, 1], ``[S, S]``.
        target: The same size.
        region: Outside of it nothing changes.
        feather: Width of the soft rim, in pixels; 0 leaves a hard cut.
    """
    depth = ndimage.distance_transform_edt(region)
    weight = np.clip(depth / (feather + 1), 0, 1)
    return (target + weight * (part - target)).astype(np.float32)


def seamless(part: Grey, target: Grey, region: Region, *, mixed: bool) -> Grey:
    """Clone the gradients of ``part`` into ``target``: Poisson blending.

    Pérez, Gangnet and Blake, "Poisson Image Editing", SIGGRAPH 2003,
    https://doi.org/10.1145/882262.882269.

    Args:
        part: float32 in [0, 1], ``[S, S]``.
        target: The same size.
        region: Solved for; it must not touch the rim. Outside of it nothing changes.
        mixed: Whether the stronger of both gradients is kept, so that what lies in the target
            shines through.
    """
    rows, columns = np.nonzero(region)
    number = np.full(region.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    right = np.zeros(len(rows))
    entries: list[NDArray[np.intp]] = []
    for down, across in NEIGHBOURS:
        beside = rows + down, columns + across
        step = part[rows, columns] - part[beside]
        if mixed:
            own = target[rows, columns] - target[beside]
            step = np.where(np.abs(own) > np.abs(step), own, step)
        right += step
        inside = region[beside]
        right[~inside] += target[beside][~inside]
        entries.append(np.stack([np.flatnonzero(inside), number[beside][inside]]))
    links = np.concatenate(entries, axis=1)
    matrix = sparse.coo_array(
        (np.full(links.shape[1], -1.0), (links[0], links[1])), shape=(len(rows), len(rows))
    ) + sparse.diags_array(np.full(len(rows), 4.0))
    result = target.copy()
    result[region] = spsolve(matrix.tocsc(), right)
    return np.clip(result, 0, 1)


def telea(target: Grey, region: Region, *, radius: int = 4) -> Grey:
    """Fill ``region`` from its rim inwards with what lies around it.

    Telea, "An Image Inpainting Technique Based on the Fast Marching Method", Journal of Graphics
    Tools 2004, https://doi.org/10.1080/10867651.2004.10487596. The exact Euclidean distance from
    the rim stands in for the arrival time of the paper's marching front.

    Args:
        target: float32 in [0, 1], ``[S, S]``.
        region: Filled; it must leave some of the target. Outside of it nothing changes.
        radius: Of the neighbourhood that a pixel is filled from, in pixels.
    """
    margin = radius + 1
    time = ndimage.distance_transform_edt(region) - ndimage.distance_transform_edt(~region)
    time = np.pad(time, margin, mode="edge")
    normals = np.stack(np.gradient(time))
    known = np.pad(~region, margin, constant_values=False)
    grey = np.pad(np.where(region, 0, target).astype(np.float64), margin)
    offset = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    distance = np.maximum(np.hypot(*offset), 1e-9)
    near = (distance <= radius) & (distance > 0.5)
    rows, columns = np.nonzero(np.pad(region, margin))
    for index in np.argsort(time[rows, columns], kind="stable"):
        row, column = rows[index], columns[index]
        around = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
        wider = np.s_[row - margin : row + margin + 1, column - margin : column + margin + 1]
        along = np.abs(np.tensordot(normals[:, row, column], offset, 1)) / distance
        level = 1 / (1 + np.abs(time[around] - time[row, column]))
        weight = (along + 1e-6) * level / distance**2 * (near & known[around])
        guesses = grey[around] - _slopes_towards(grey[wider], known[wider], offset)
        low, high = grey[around][known[around]].min(), grey[around][known[around]].max()
        grey[row, column] = np.clip((weight * guesses).sum() / weight.sum(), low, high)
        known[row, column] = True
    filled = grey[margin:-margin, margin:-margin]
    return np.where(region, filled, target).astype(np.float32)


def _slopes_towards(
    grey: NDArray[np.float64], known: Region, offset: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return how much each neighbour's own gradient says that the middle differs from it."""
    change = np.zeros(grey[1:-1, 1:-1].shape)
    for axis in (0, 1):
        before, after = (
            (np.s_[:-2, 1:-1], np.s_[2:, 1:-1])
            if axis == 0
            else (np.s_[1:-1, :-2], np.s_[1:-1, 2:])
        )
        both = known[before] & known[after]
        change += np.where(both, (grey[after] - grey[before]) / 2, 0) * offset[axis]
    return change


def grain_of(part: Grey) -> Grey:
    """Return a part's fine detail: what a blur takes away, without its strongest structures."""
    detail = part - ndimage.gaussian_filter(part, 1.5)
    low, high = np.percentile(detail, [4, 96])
    return np.clip(detail, low, high).astype(np.float32)
