"""Harmless and less harmless changes of a thumbnail, the same for scans and other images.

What a hospital or a viewer may do to a scan must not make it foreign: another window, inversion,
a rotated or cropped view, a frame, burnt-in text, coarser resolution.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

MOST_ZOOM = 0.35
MOST_STRETCH = 0.25
MOST_SHIFT = 0.15


def vary(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random variation of a thumbnail, uint8, shape ``[S, S]``."""
    grey = torch.from_numpy(image).float()[None, None] / 255
    for change in (_bent, _moved, _windowed, _degraded, _annotated):
        grey = change(grey, rng).clamp(0, 1)
    return np.rint(grey[0, 0].numpy() * 255).astype(np.uint8)


def _bent(grey: Tensor, rng: np.random.Generator) -> Tensor:
    """Bend it softly, as a poor generator does with anatomy."""
    if rng.random() < 0.8:
        return grey
    side, count = grey.shape[-1], int(rng.integers(3, 7))
    knots = rng.normal(0, rng.uniform(0.01, 0.06), (1, 2, count, count))
    bends = functional.interpolate(
        torch.from_numpy(knots).float(), (side, side), mode="bicubic", align_corners=True
    )
    straight = functional.affine_grid(torch.eye(2, 3)[None], list(grey.shape), align_corners=False)
    grid = straight + bends.movedim(1, -1)
    return functional.grid_sample(grey, grid, padding_mode="border", align_corners=False)


def _moved(grey: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn by quarters and a little more, mirror, zoom, stretch and shift."""
    angle = rng.choice([0, 0, 0, 1, 2, 3]) * math.pi / 2 + rng.normal(0, 0.12)
    zoom = math.exp(rng.uniform(-MOST_ZOOM, MOST_ZOOM))
    stretch = math.exp(rng.uniform(-MOST_STRETCH, MOST_STRETCH))
    shift = rng.uniform(-MOST_SHIFT, MOST_SHIFT, 2)
    mirror = rng.choice([1, -1])
    cos, sin = math.cos(angle), math.sin(angle)
    rows = [
        [cos * zoom * stretch * mirror, -sin * zoom * stretch, shift[0]],
        [sin * zoom / stretch * mirror, cos * zoom / stretch, shift[1]],
    ]
    grid = functional.affine_grid(
        torch.tensor([rows], dtype=torch.float32), list(grey.shape), align_corners=False
    )
    outside = "zeros" if rng.random() < 0.5 else "border"
    return functional.grid_sample(grey, grid, padding_mode=outside, align_corners=False)


def _windowed(grey: Tensor, rng: np.random.Generator) -> Tensor:
    """Change window, gamma, contrast; sometimes invert."""
    if rng.random() < 0.5:
        low = rng.uniform(0, 0.5)
        high = rng.uniform(max(low + 0.25, 0.55), 1.1)
        grey = ((grey - low) / (high - low)).clamp(0, 1)
    grey = grey ** math.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.3:
        contrast = rng.uniform(0.4, 1)
        grey = rng.uniform(0, 1 - contrast) + contrast * grey
    return 1 - grey if rng.random() < 0.15 else grey


def _degraded(grey: Tensor, rng: np.random.Generator) -> Tensor:
    """Make it coarse, as a small generator's scan is; blur; add noise, fine or in blots."""
    side = grey.shape[-1]
    if rng.random() < 0.3:
        few = int(rng.integers(28, 90))
        small = functional.interpolate(grey, (few, few), mode="bilinear", antialias=True)
        if rng.random() < 0.5:
            blots = rng.normal(0, rng.uniform(0.02, 0.12), tuple(small.shape))
            small = small + torch.from_numpy(blots).float()
        kind = str(rng.choice(["bilinear", "bicubic", "nearest"]))
        grey = functional.interpolate(small, (side, side), mode=kind)
    if rng.random() < 0.4:
        sigma = rng.uniform(0.3, 2.2)
        grey = transforms.gaussian_blur(grey, [2 * int(3 * sigma) + 1] * 2, [sigma] * 2)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(0.01, 0.08), tuple(grey.shape))
        grey = grey + torch.from_numpy(noise).float()
    return grey


def _annotated(grey: Tensor, rng: np.random.Generator) -> Tensor:
    """Put a frame around it, or marks on it."""
    side = grey.shape[-1]
    if rng.random() < 0.15:
        width, value = int(rng.integers(2, side // 11)), float(rng.choice([0, 1, rng.random()]))
        if rng.random() < 0.7:
            grey[..., :width, :] = grey[..., -width:, :] = value
        if rng.random() < 0.7:
            grey[..., :, :width] = grey[..., :, -width:] = value
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 5))):
            top, left = rng.integers(0, side - 30, 2)
            bottom, right = top + rng.integers(3, 10), left + rng.integers(6, 30)
            grey[..., top:bottom, left:right] = float(rng.choice([0, 1]))
    return grey
