"""Local edits by diffusion: what an editor's tools put there in the rough, drawn again to fit.

A structure is copied, covered or filled in with the tools of ``classical_edits``. Then that region
alone is drowned in noise in part and drawn again by a diffusion model, which sees what surrounds it
(Meng et al., "SDEdit", ICLR 2022; Avrahami et al., "Blended Diffusion", CVPR 2022). So the seams
and the copied grain are gone, and what is left is the network's own. Attacks with diffusion models
on CT are described by Zingarini et al., "M3Dsynth", ICASSP 2024, https://arxiv.org/abs/2309.07973.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from training.data.images import read_grey
from training.errors import TooFewScansError
from training.fakes.base import Fake, Generator, changes_enough, register
from training.fakes.classical_edits import ClassicalEdits
from training.fakes.classical_tools import window_at
from training.fakes.denoiser import Denoiser
from training.fakes.device import noise
from training.fakes.sites import SITE_FINDERS
from training.seeding import generator_for

PATCH_SIDE = 64  # pixels of the scan: what the network sees
MOST_EDITED = 0.75  # of a patch's side
PAIRS_PER_SCAN = 2  # of patches to learn from
MULTIPLES = (1, 2, 2)  # of the channels, from one resolution of the network to the next
NOISE = (0.1, 0.5)  # least and greatest share of the way to nothing but noise
FEWEST_STEPS, MOST_STEPS = 3, 8
LEAST_RANGE = 0.05  # of grey values; keeps even patches from being blown up into noise
FILLED = 0.9  # of [-1, 1]: what a patch spans, so that a new structure may be somewhat brighter
RIM = 1.0  # pixels: standard deviation of the Gaussian that softens the region's outline
ROUGH_TOOLS = ("copy_move", "healing", "inpainting")  # those that need no other scan


@register("diffusion_inpainting")
class DiffusionInpainting(Generator):
    """A place that a forger would choose, edited in the rough and redrawn at full resolution.

    Args:
        sites: ``lung`` or ``knee``: how places for edits are found.
        edit_sides: Least and greatest side of an edit, in pixels of the scan.
        margins: Share of the edits along a margin, see ``ClassicalEdits``.
        width: Channels of the network at full resolution, a multiple of 8.
        steps: Optimiser steps.
        batch_size: Patches a step.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        sites: str,
        edit_sides: Sequence[int] = (20, 44),
        margins: float = 0.0,
        width: int = 32,
        steps: int = 20000,
        batch_size: int = 64,
    ) -> None:
        if len(edit_sides) != 2:
            raise ValueError(f"edit_sides must be the least and the greatest, got {edit_sides}")
        least, most = edit_sides
        if most > MOST_EDITED * PATCH_SIDE:
            limit = round(MOST_EDITED * PATCH_SIDE)
            raise ValueError(f"edit_sides must not go beyond {limit}, got {most}")
        self.rough = ClassicalEdits(
            sites=sites, min_side=least, max_side=most, margins=margins, kinds=ROUGH_TOOLS
        )
        self.find_sites = SITE_FINDERS[sites]
        self.steps, self.batch_size = steps, batch_size
        self.denoiser = Denoiser(
            sides=(PATCH_SIDE,), width=width, multiples=MULTIPLES, most_noise=NOISE[1]
        )

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the network on patches around places to edit; see ``Generator.fit``."""
        self.denoiser.fit(
            lambda side: self._patches(scans, side, seed),
            folder,
            title="diffusion inpainting",
            steps=self.steps,
            batch=self.batch_size,
            seed=seed,
        )

    def _patches(self, scans: Sequence[Path], side: int, seed: int) -> Tensor:
        """Cut as many patches around structures as around plain tissue, where a scan has both.

        Returns:
            uint8, shape ``[N, 1, side, side]``.
        """
        found = []
        for path in tqdm(scans, desc="cutting patches", unit="scan"):
            grey = read_grey(path)
            sites = self.find_sites(grey)
            rng = generator_for("diffusion patches", seed, path.name)
            for points in (sites.structures, sites.plain) * PAIRS_PER_SCAN:
                if len(points) and min(grey.shape) >= side:
                    place = points[rng.integers(len(points))]
                    patch = grey[_window_within(place, side, grey.shape)]
                    spread = _Range.of(patch).spread(patch)
                    found.append(((spread + 1) * 127.5).round().to(torch.uint8))
        if not found:
            raise TooFewScansError(f"No scan offers a place to edit with {side} pixels around it.")
        return torch.stack(found)[:, None]

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Edit one place of an authentic scan; None if it offers none."""
        if original is None:
            raise ValueError("a local edit needs an authentic scan")
        if min(original.shape) < PATCH_SIDE:
            return None
        rough = self.rough.make(original, seed=seed)
        if rough is None or rough.mask is None or rough.center is None:
            return None
        rng = generator_for("diffusion inpainting", seed)
        window = _window_within(rough.center[::-1], PATCH_SIDE, original.shape)
        region = ndimage.gaussian_filter(rough.mask[window].astype(np.float32), RIM)
        # The rim fades twice: from the original to the rough edit, from that to the redrawn one.
        start = original[window] + region * (rough.grey[window] - original[window])
        span = _Range.of(start)
        redrawn = self.denoiser.redraw(
            span.spread(start)[None, None],
            noise((1, 1, PATCH_SIDE, PATCH_SIDE), seed=seed),
            share=float(rng.uniform(*NOISE)),
            steps=int(rng.integers(FEWEST_STEPS, MOST_STEPS + 1)),
            where=torch.from_numpy(region)[None, None],
        )
        filled = span.restored(redrawn[0, 0].cpu().numpy())
        grey = original.copy()
        grey[window] = np.clip(np.where(region > 0, filled, original[window]), 0, 1)
        fake = replace(rough, grey=grey)
        return fake if changes_enough(fake, original) else None


def _window_within(
    place: NDArray[np.intp] | tuple[int, ...], side: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the square around a place, moved as far as needed to lie within the scan."""
    row, column = (
        int(np.clip(at, side // 2, length - (side - side // 2)))
        for at, length in zip(place, shape, strict=True)
    )
    return window_at((row, column), side)


@dataclass(frozen=True, slots=True)
class _Range:
    """Darkest and brightest grey value of a patch, which the network's range has to match."""

    low: float
    width: float

    @classmethod
    def of(cls, patch: NDArray[np.float32]) -> "_Range":
        return cls(float(patch.min()), max(float(np.ptp(patch)), LEAST_RANGE))

    def spread(self, patch: NDArray[np.float32]) -> Tensor:
        share = torch.from_numpy(patch - self.low) / self.width
        return (2 * share - 1) * FILLED

    def restored(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        shares = (patch / FILLED + 1) / 2
        return (self.low + self.width * shares).astype(np.float32)
