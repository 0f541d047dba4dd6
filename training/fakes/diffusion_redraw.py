"""Redrawing: an authentic scan, drowned in noise in part and drawn again by a diffusion model.

Meng et al., "SDEdit", ICLR 2022, https://arxiv.org/abs/2108.01073. With little noise the anatomy
stays and only what the network leaves behind tells the result from the original; with much noise
little of the original stays. Detectors that learn such pairs know diffusion models that they never
saw better than those that learn synthetic images alone: Chen et al., "DRCT: Diffusion
Reconstruction Contrastive Training", ICML 2024. It is also what a small budget affords, since how
to take little noise away is learned long before how to draw a scan of nothing.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from training.fakes.base import Fake, Generator, register
from training.fakes.denoiser import Denoiser
from training.fakes.device import noise
from training.fakes.squares import read_squares, to_square_bytes
from training.seeding import generator_for

FEWEST_STEPS, MOST_STEPS = 3, 8
LEAST_MARGIN = 8  # pixels, mirrored around a scan: a network draws badly at the very border
KERNELS = ("bilinear", "bicubic")


@register("diffusion_redraw")
class DiffusionRedraw(Generator):
    """A whole authentic scan, redrawn at one of several resolutions and scaled to its size.

    Args:
        sides: Resolutions, as the side of a square in pixels; each a multiple of 2 for each
            halving.
        width: Channels at full resolution, a multiple of 8.
        multiples: Channels over ``width`` of each resolution of the network.
        steps: Optimiser steps.
        batch_size: Scans a step of the least side; of a greater one fewer, for as many pixels.
        noise_range: Least and greatest share of the way to nothing but noise, in (0, 1]. Little
            is needed: one tenth drowns the trabeculae of a bone, one third its outline.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        sides: Sequence[int] = (64, 96, 128),
        width: int = 32,
        multiples: Sequence[int] = (1, 2, 2, 4),
        steps: int = 20000,
        batch_size: int = 32,
        noise_range: Sequence[float] = (0.02, 0.3),
    ) -> None:
        if not sides:
            raise ValueError("sides must name at least one resolution")
        self.least_noise, self.most_noise = noise_range
        if not 0 < self.least_noise <= self.most_noise <= 1:
            raise ValueError(f"noise_range must lie in (0, 1] and rise, got {list(noise_range)}")
        self.steps, self.batch_size = steps, batch_size
        # What is added has to halve as often as the sides do.
        self.margin = max(LEAST_MARGIN, 2 ** (len(multiples) - 1))
        self.denoiser = Denoiser(
            sides=sides, width=width, multiples=multiples, most_noise=self.most_noise
        )

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the network; see ``Generator.fit``."""
        self.denoiser.fit(
            partial(read_squares, scans),
            folder,
            title="redraw",
            steps=self.steps,
            batch=self.batch_size,
            seed=seed,
        )

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Redraw a scan, at a resolution and from as much noise as the seed says."""
        if original is None:
            raise ValueError("there is nothing to redraw without an authentic scan")
        rng = generator_for("diffusion_redraw", seed)
        side = self.denoiser.draw_side(rng)
        square = to_square_bytes(original, side)[None].float() / 127.5 - 1
        square = functional.pad(square, [self.margin] * 4, mode="reflect")
        redrawn = self.denoiser.redraw(
            square,
            noise(square.shape, seed=seed),
            share=float(np.exp(rng.uniform(*np.log((self.least_noise, self.most_noise))))),
            steps=int(rng.integers(FEWEST_STEPS, MOST_STEPS + 1)),
        )
        inside = slice(self.margin, -self.margin)
        kernel = str(rng.choice(KERNELS))
        scaled = functional.interpolate(
            redrawn[..., inside, inside], original.shape, mode=kernel, align_corners=False
        )
        grey = ((scaled[0, 0] + 1) / 2).clamp(0, 1).cpu().numpy()
        return Fake(grey=grey, tamper="redrawn", drawn_side=side)
