"""A scan blended with itself after processing: the trace of tampering without any tamperer.

Whoever edits a scan leaves a region whose noise, sharpness, sampling grid or exposure does not
match what surrounds it, whatever was painted there. This generator makes such regions and nothing
else, so a detector cannot learn a certain painter's hand from them. After Shiohara and Yamasaki,
"Detecting Deepfakes with Self-Blended Images", CVPR 2022, https://arxiv.org/abs/2204.08376, who do
so with faces; the processing is chosen here for scans.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.data.augment import jpeg_round_trip, resampled
from training.fakes.base import Fake, Generator, changes_enough, register
from training.fakes.classical_tools import window_at
from training.fakes.retouching import Grey, blob
from training.fakes.sites import SITE_FINDERS
from training.seeding import generator_for

ATTEMPTS = 12
MOST_STEPS = 3
SURROUND = 12  # pixels around an edit that are processed with it, so that its rim is not special
PART_OF_MASK = 0.4  # weight from which on a pixel counts as edited

Process = Callable[[Grey, np.random.Generator], Grey]


@register("self_blending")
class SelfBlending(Generator):
    """A region of the scan, processed by itself and blended back.

    Args:
        sites: ``lung`` or ``knee``: how places for edits are found.
        min_side: Least side of an edit, in pixels of the scan.
        max_side: Greatest side of it.
    """

    edits_originals = True

    def __init__(self, *, sites: str, min_side: int = 18, max_side: int = 64) -> None:
        if sites not in SITE_FINDERS:
            raise ValueError(f"sites must be one of {', '.join(SITE_FINDERS)}, got {sites!r}")
        if not 8 <= min_side <= max_side:
            raise ValueError(f"8 ≤ min_side ≤ max_side is needed, got {min_side} and {max_side}")
        self.find_sites = SITE_FINDERS[sites]
        self.min_side, self.max_side = min_side, max_side

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Learn nothing: there is nothing to learn."""

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Edit one place of an authentic scan; None if it offers none."""
        if original is None:
            raise ValueError("a local edit needs an authentic scan")
        rng = generator_for("self blending", seed)
        sites = self.find_sites(original)
        points = np.concatenate([sites.plain, sites.structures])
        for _ in range(ATTEMPTS):
            side = int(rng.integers(self.min_side, self.max_side + 1))
            reach = side // 2 + SURROUND + 1
            inside = ((points >= reach) & (points < np.array(original.shape) - reach)).all(axis=1)
            if not inside.any():
                continue
            row, column = points[inside][rng.integers(inside.sum())]
            fake = _blended(original, (int(row), int(column)), side, rng)
            if changes_enough(fake, original):
                return fake
        return None


def _blended(original: Grey, place: tuple[int, int], side: int, rng: np.random.Generator) -> Fake:
    window = window_at(place, side + 2 * SURROUND)
    target = original[window]
    names = rng.permutation(list(PROCESSES))[: int(rng.integers(1, MOST_STEPS + 1))]
    processed = target
    for name in names:
        processed = np.clip(PROCESSES[name](processed, rng), 0, 1).astype(np.float32)
    weight = _soft_region(side, rng)
    grey = original.copy()
    grey[window] = target + weight * (processed - target)
    mask = np.zeros(original.shape, dtype=bool)
    mask[window] = weight > PART_OF_MASK * weight.max()
    return Fake(grey=grey, mask=mask, tamper="+".join(names), center=(place[1], place[0]))


def _soft_region(side: int, rng: np.random.Generator) -> Grey:
    """Draw a region's weights in [0, 1], hard or soft at its rim, ``[side + 2 SURROUND] * 2``."""
    region = np.pad(blob(side, rng), SURROUND).astype(np.float32)
    softness = float(rng.uniform(0, side / 6))
    weight = ndimage.gaussian_filter(region, softness) if softness > 0.5 else region
    weight[[0, -1]] = weight[:, [0, -1]] = 0
    return (weight / weight.max() * rng.uniform(0.6, 1.0)).astype(np.float32)


def _coarser(part: Grey, rng: np.random.Generator) -> Grey:
    return resampled(part, float(rng.uniform(0.35, 0.85)), smooth=bool(rng.random() < 0.5))


def _shifted(part: Grey, rng: np.random.Generator) -> Grey:
    """Move by fractions of a pixel and scale a little: the trace of any geometric change."""
    scale = rng.uniform(0.94, 1.06)
    middle = (np.array(part.shape) - 1) / 2
    offset = middle - middle / scale + rng.uniform(-1.5, 1.5, 2)
    order = int(rng.choice([1, 3]))
    return ndimage.affine_transform(part, [1 / scale] * 2, offset, order=order, mode="reflect")


def _blurred(part: Grey, rng: np.random.Generator) -> Grey:
    return ndimage.gaussian_filter(part, float(rng.uniform(0.5, 1.6)))


def _denoised(part: Grey, rng: np.random.Generator) -> Grey:
    return ndimage.median_filter(part, size=int(rng.choice([3, 5])))


def _sharpened(part: Grey, rng: np.random.Generator) -> Grey:
    return part + float(rng.uniform(0.4, 1.5)) * (part - ndimage.gaussian_filter(part, 1.0))


def _noisy(part: Grey, rng: np.random.Generator) -> Grey:
    noise = rng.normal(0, 1, part.shape)
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, float(rng.uniform(0.4, 1.2)))
    return part + float(rng.uniform(0.006, 0.03)) * noise / noise.std()


def _recoded(part: Grey, rng: np.random.Generator) -> Grey:
    return jpeg_round_trip(part, quality=int(rng.integers(30, 90)))


def _exposed(part: Grey, rng: np.random.Generator) -> Grey:
    contrast, shift = rng.uniform(0.85, 1.18), rng.uniform(-0.03, 0.03)
    return (part - part.mean()) * contrast + part.mean() + shift


PROCESSES: dict[str, Process] = {
    "coarser": _coarser,
    "shifted": _shifted,
    "blurred": _blurred,
    "denoised": _denoised,
    "sharpened": _sharpened,
    "noisy": _noisy,
    "recoded": _recoded,
    "exposed": _exposed,
}
