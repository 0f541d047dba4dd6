"""Local edits in the manner of CT-GAN: a finding is put in, or taken away.

Mirsky, Mahler, Shelef and Elovici, "CT-GAN: Malicious Tampering of 3D Medical Imagery using Deep
Learning", USENIX Security 2019, https://arxiv.org/abs/1901.03597. Their steps, in two dimensions:
cut a region and resample it, blank its middle, let a conditional GAN fill it, resample back, add
the scan's own noise and blend. One network learns to fill in structures (injection), another to
fill in plain tissue (removal).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from training.data.images import read_grey
from training.fakes.base import Fake, Generator, changes_enough, register
from training.fakes.painters import (
    BORDER,
    HOLE_SIDE,
    PATCH_SIDE,
    Painter,
    PainterTraining,
    with_hole,
)
from training.fakes.sites import SITE_FINDERS, Points
from training.seeding import generator_for

SPREADS = 3.0  # standard deviations around the mean that fill the painters' range of about [-1, 1]
ATTEMPTS = 12
MIN_SPREAD = 0.02  # of grey values; keeps even regions from being blown up into noise


@dataclass(frozen=True, slots=True)
class _Place:
    """A region to edit: centre in pixels and side in pixels."""

    row: int
    column: int
    side: int

    @property
    def window(self) -> tuple[slice, slice]:
        top, left = self.row - self.side // 2, self.column - self.side // 2
        return slice(top, top + self.side), slice(left, left + self.side)


@register("inpainting_gan")
class InpaintingGAN(Generator):
    """Conditional inpainting of regions that a forger would choose.

    Args:
        sites: ``lung`` or ``knee``: how places for edits are found.
        min_side: Least side of the edited region, in pixels of the scan.
        max_side: Greatest side of it.
        patches_per_scan: Patches that each training scan gives to each network.
        steps: Optimiser steps of each network.
        batch_size: Patches a step.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        sites: str,
        min_side: int = 35,
        max_side: int = 58,
        patches_per_scan: int = 8,
        steps: int = 1500,
        batch_size: int = 64,
    ) -> None:
        if sites not in SITE_FINDERS:
            raise ValueError(f"sites must be one of {', '.join(SITE_FINDERS)}, got {sites!r}")
        self.find_sites = SITE_FINDERS[sites]
        self.min_side, self.max_side = min_side, max_side
        self.patches_per_scan, self.steps, self.batch_size = patches_per_scan, steps, batch_size
        self.painters = {"injection": Painter(), "removal": Painter()}

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the two painters; see ``Generator.fit``."""
        patches: dict[str, Tensor] | None = None
        for tamper, painter in self.painters.items():
            trainer = PainterTraining(painter, seed=seed)
            if trainer.resume(folder / tamper) < self.steps:
                patches = patches or self._patches(scans, seed)
                trainer.run(patches[tamper], self.steps, self.batch_size, folder / tamper)
            painter.cpu().eval()  # one patch at a time is painted

    def _patches(self, scans: Sequence[Path], seed: int) -> dict[str, Tensor]:
        found: dict[str, list[NDArray[np.float32]]] = {"injection": [], "removal": []}
        for path in tqdm(scans, desc="cutting patches", unit="scan"):
            grey = read_grey(path)
            sites = self.find_sites(grey)
            rng = generator_for("patches", seed, path.name)
            # What is to be put in looks like a structure, what is left after a removal is plain.
            for tamper, points in (("injection", sites.structures), ("removal", sites.plain)):
                for _ in range(self.patches_per_scan):
                    place = self._place(points, grey.shape, rng)
                    if place is not None:
                        patch = _resampled(grey[place.window], PATCH_SIDE)
                        found[tamper].append(_Exposure.of(patch).normalised(patch))
        return {k: torch.from_numpy(np.stack(v))[:, None] for k, v in found.items()}

    def _place(
        self, points: Points, shape: tuple[int, ...], rng: np.random.Generator
    ) -> _Place | None:
        side = int(rng.integers(self.min_side, self.max_side + 1))
        margin = side // 2 + 1
        inside = points[((points >= margin) & (points < np.array(shape) - margin)).all(axis=1)]
        if len(inside) == 0:
            return None
        row, column = inside[rng.integers(len(inside))]
        return _Place(int(row), int(column), side)

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Edit one place of an authentic scan; None if it offers none."""
        if original is None:
            raise ValueError("a local edit needs an authentic scan")
        rng = generator_for("edit", seed)
        tamper = str(rng.choice(["injection", "removal"]))
        sites = self.find_sites(original)
        points = sites.plain if tamper == "injection" else sites.structures
        for _ in range(ATTEMPTS):
            place = self._place(points, original.shape, rng)
            if place is None:
                return None
            grey, mask = self._paint(original, place, tamper, rng)
            center = place.column, place.row
            fake = Fake(grey=grey, mask=mask, tamper=tamper, center=center)
            if changes_enough(fake, original):
                return fake
        return None

    @torch.no_grad()
    def _paint(
        self,
        original: NDArray[np.float32],
        place: _Place,
        tamper: str,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        region = original[place.window]
        patch = _resampled(region, PATCH_SIDE)
        exposure = _Exposure.of(patch)
        condition = with_hole(torch.from_numpy(exposure.normalised(patch))[None, None])
        painted = exposure.restored(self.painters[tamper](condition)[0, 0].numpy())
        filled = _resampled(painted, place.side)
        filled = filled + _noise_like(region, rng) * (1 - float(rng.uniform(0, 0.5)))
        weight = _blending_weights(place.side)
        grey = original.copy()
        grey[place.window] = np.clip(weight * filled + (1 - weight) * region, 0, 1)
        mask = np.zeros(original.shape, dtype=bool)
        mask[place.window] = weight > 0.5
        return grey, mask


@dataclass(frozen=True, slots=True)
class _Exposure:
    """Brightness and contrast of a patch around its hole, which its filling has to match."""

    mean: float
    spread: float

    @classmethod
    def of(cls, patch: NDArray[np.float32]) -> "_Exposure":
        around = patch[np.pad(np.zeros((HOLE_SIDE, HOLE_SIDE)), BORDER, constant_values=1) > 0]
        return cls(float(around.mean()), max(float(around.std()), MIN_SPREAD))

    def normalised(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((patch - self.mean) / (SPREADS * self.spread)).astype(np.float32)

    def restored(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        return (patch * SPREADS * self.spread + self.mean).astype(np.float32)


def _resampled(region: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    resampled = functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(region))[None, None],
        size=(side, side),
        mode="bicubic",
        align_corners=False,
    )
    return resampled[0, 0].numpy()


def _noise_like(region: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise with the strength and the grain of a region's own, by shuffling its quarters."""
    residual = region - ndimage.gaussian_filter(region, 1.5)
    residual = np.clip(residual, *np.percentile(residual, [5, 95]))
    turned = np.rot90(residual, int(rng.integers(1, 4)))
    if rng.random() < 0.5:
        return np.ascontiguousarray(turned)
    scale = float(residual.std())
    return rng.normal(0, max(scale, 1e-4), region.shape).astype(np.float32)


def _blending_weights(side: int) -> NDArray[np.float32]:
    """Return weights that are 1 over the hole and fall smoothly to 0 at the region's border."""
    axis = np.abs(np.linspace(-1, 1, side, dtype=np.float32))
    reach = np.maximum(axis[:, None], axis[None, :])
    inner = HOLE_SIDE / PATCH_SIDE
    ramp = np.clip((1 - reach) / (1 - inner), 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
