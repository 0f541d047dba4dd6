"""From grey values to the network's input. Training and serving both come through here."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.detection.card import PreprocessingSpec

PREPROCESSING_VERSION = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_square(grey: NDArray[np.float32], image_size: int) -> Tensor:
    """Fit a scan into a square, keeping its aspect ratio; the rest is black on both sides.

    Args:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``.
        image_size: Side of the square, in pixels.

    Returns:
        Grey values, float32 in [0, 1], shape ``[image_size, image_size]``. A scan of that very
        size comes back unchanged.
    """
    scan = torch.from_numpy(np.ascontiguousarray(grey))
    height, width = scan.shape
    longest = max(height, width)
    if longest != image_size:
        size = (
            max(1, round(height * image_size / longest)),
            max(1, round(width * image_size / longest)),
        )
        scan = resize(scan, *size)
        height, width = size
    top, left = (image_size - height) // 2, (image_size - width) // 2
    return functional.pad(scan, [left, image_size - width - left, top, image_size - height - top])


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Scale grey values in [0, 1], shape ``[H, W]``, linearly and with antialiasing."""
    scaled = functional.interpolate(
        image[None, None],
        size=(height, width),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return scaled[0, 0].clamp(0, 1)


def normalise(square: Tensor, spec: PreprocessingSpec) -> Tensor:
    """Turn grey values ``[..., S, S]`` in [0, 1] into normalised channels ``[..., 3, S, S]``."""
    channels = square.unsqueeze(-3).expand(*square.shape[:-2], 3, *square.shape[-2:])
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=square.device).view(3, 1, 1)
        for values in (spec.mean, spec.std)
    )
    return (channels - mean).div_(std)


def preprocess(grey: NDArray[np.float32], spec: PreprocessingSpec) -> Tensor:
    """Return the network's input for one scan.

    Args:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``.
        spec: From the card of the network's weights.

    Returns:
        float32, shape ``[3, image_size, image_size]``.
    """
    return normalise(to_square(grey, spec.image_size), spec)


def square_to_scan(
    square: NDArray[np.float32], height: int, width: int, image_size: int | None = None
) -> NDArray[np.float32]:
    """Cut from a square map the part that shows the scan, undoing the padding of ``to_square``.

    The scan's border may run through cells of the map. What is cut is then read between them, so
    that it lies where it belongs and not up to half a cell beside.

    Args:
        square: A map over the network's input, shape ``[h, h]``, of any resolution.
        height: Of the scan, in pixels.
        width: Of the scan, in pixels.
        image_size: Side of the network's input, in pixels; None if the map has that very size.

    Returns:
        The part over the scan, at about the resolution of ``square``, at least one cell each way.
    """
    cells = square.shape[0]
    side = image_size or cells
    longest = max(height, width)
    rows = _centres(round(height * side / longest), side, cells)
    columns = _centres(round(width * side / longest), side, cells)
    return _read_between(_read_between(square, rows).T, columns).T


def _centres(pixels: int, side: int, cells: int) -> NDArray[np.float64]:
    """Return where the cells over the middle ``pixels`` of a side lie, in cells of the map."""
    pixels = max(1, pixels)
    first = (side - pixels) // 2
    count = max(1, round(pixels * cells / side))
    centres = (first + (np.arange(count) + 0.5) * pixels / count) * cells / side - 0.5
    return np.clip(centres, 0, cells - 1)


def _read_between(rows: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return rows at positions that need not be whole, linearly interpolated."""
    lower = np.floor(positions).astype(int)
    upper = np.minimum(lower + 1, len(rows) - 1)
    share = (positions - lower)[:, None].astype(np.float32)
    between: NDArray[np.float32] = rows[lower] * (1 - share) + rows[upper] * share
    return between
