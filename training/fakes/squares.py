"""Scans as the square images that generators of whole images learn and make."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.data.images import read_grey


def read_squares(scans: Sequence[Path], side: int) -> Tensor:
    """Read scans, scaled to one size: uint8, shape ``[N, 1, side, side]``."""
    return torch.stack([to_square_bytes(read_grey(path), side) for path in scans])


def to_square_bytes(grey: NDArray[np.float32], side: int) -> Tensor:
    """Scale a scan, float32 in [0, 1], to uint8 of shape ``[1, side, side]``."""
    image = torch.from_numpy(grey)[None, None]
    if grey.shape != (side, side):
        image = functional.interpolate(image, size=(side, side), mode="bilinear", antialias=True)
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8)


def draw_batch(
    squares: Tensor, size: int, rng: np.random.Generator, device: torch.device
) -> Tensor:
    """Draw scans, half of them mirrored: float32 in [-1, 1], ``[size, 1, side, side]``."""
    batch = squares[torch.from_numpy(rng.integers(len(squares), size=size))].to(device)
    mirrored = torch.from_numpy(rng.random(size) < 0.5).to(device)[:, None, None, None]
    batch = torch.where(mirrored, batch.flip(-1), batch)
    return batch.float() / 127.5 - 1


def to_greys(images: Tensor, output_side: int) -> NDArray[np.float32]:
    """Scale made images to the data set's size.

    Args:
        images: In [-1, 1], shape ``[N, 1, side, side]``.
        output_side: Side wanted, in pixels.

    Returns:
        float32 in [0, 1], shape ``[N, output_side, output_side]``.
    """
    if images.shape[-1] != output_side:
        images = functional.interpolate(
            images, size=output_side, mode="bicubic", align_corners=False
        )
    return ((images[:, 0] + 1) / 2).clamp(0, 1).float().cpu().numpy()
