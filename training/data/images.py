"""Prepared scans on disk: 8-bit grey PNG, the same for both classes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def read_grey(path: Path | str) -> NDArray[np.float32]:
    """Read a prepared scan: float32 in [0, 1], shape ``[H, W]``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def write_grey(path: Path, grey: NDArray[np.float32]) -> None:
    """Write grey values in [0, 1], shape ``[H, W]``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pixels = np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(partial, format="PNG")
    partial.replace(path)
