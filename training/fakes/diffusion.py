"""Diffusion: whole synthetic scans, drawn from noise step by step (see ``Denoiser``)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.fakes.base import Fake, Generator, register
from training.fakes.denoiser import Denoiser
from training.fakes.device import images_at_once, noise
from training.fakes.squares import read_squares, to_greys

SAMPLING_STEPS = 50


@register("diffusion")
class Diffusion(Generator):
    """A diffusion model of square grey images, scaled up to the data set's size if need be.

    Args:
        output_side: Side of the fakes, in pixels.
        side: Of the images that it learns, in pixels; a multiple of 2 for each halving.
        width: Channels at full resolution, a multiple of 8.
        multiples: Channels over ``width`` of each resolution; the side halves from one to the
            next.
        steps: Optimiser steps.
        batch_size: Scans a step.
    """

    edits_originals = False

    def __init__(
        self,
        *,
        output_side: int,
        side: int = 64,
        width: int = 32,
        multiples: Sequence[int] = (1, 2, 2, 4),
        steps: int = 20000,
        batch_size: int = 32,
    ) -> None:
        self.output_side, self.drawn_side = output_side, side
        self.steps, self.batch_size = steps, batch_size
        self.denoiser = Denoiser(sides=(side,), width=width, multiples=multiples)
        self.together = images_at_once(self.denoiser.device)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the network; see ``Generator.fit``."""
        self.denoiser.fit(
            partial(read_squares, scans),
            folder,
            title="diffusion",
            steps=self.steps,
            batch=self.batch_size,
            seed=seed,
        )

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Make one synthetic scan of ``output_side``; ``original`` is not looked at."""
        return Fake(grey=self.sample([seed])[0])

    def sample(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Make synthetic scans together; see ``Generator.sample``."""
        shape = (1, self.denoiser.sides[0], self.denoiser.sides[0])
        start = torch.stack([noise(shape, seed=seed) for seed in seeds])
        return to_greys(self.denoiser.draw(start, steps=SAMPLING_STEPS), self.output_side)
