"""Prepared scans on disk: 8-bit grey PNG, the same for both classes."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional


def read_grey(path: Path | str) -> NDArray[np.float32]:
    """Read a prepared scan: float32 in [0, 1], shape ``[H, W]``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def at_most_as_long(grey: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return an image scaled down until its longer side has so many pixels; a smaller one as is.

    Args:
        grey: float32 in [0, 1], shape ``[H, W]``.
        side: In pixels.
    """
    height, width = grey.shape
    scale = side / max(height, width)
    if scale >= 1:
        return grey
    return scaled_to(grey, max(1, round(height * scale)), max(1, round(width * scale)))


def scaled_to(grey: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return an image at another size, bilinear and without aliases: float32 in [0, 1]."""
    scaled = functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(grey))[None, None],
        size=(height, width),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return scaled[0, 0].clamp(0, 1).numpy()


def write_grey(path: Path, grey: NDArray[np.float32]) -> None:
    """Write grey values in [0, 1], shape ``[H, W]``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pixels = np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(partial, format="PNG")
    partial.replace(path)
