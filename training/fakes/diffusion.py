"""Diffusion: whole synthetic scans, drawn from noise step by step.

Training is that of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
https://arxiv.org/abs/2006.11239; sampling that of Song, Meng and Ermon, "Denoising Diffusion
Implicit Models", ICLR 2021, https://arxiv.org/abs/2010.02502, so that the noise at the start
determines the scan. Time is continuous, with the cosine schedule of Nichol and Dhariwal 2021; the
network predicts Salimans and Ho's *v* (2022), and above 64 pixels the schedule is shifted to more
noise as in Hoogeboom, Heek and Salimans, "simple diffusion", ICML 2023,
https://arxiv.org/abs/2301.11093. Written here after the papers; no third party's code or weights.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.fakes.averaging import averaged
from training.fakes.base import Fake, Generator, register
from training.fakes.device import best_device, noise
from training.fakes.squares import draw_batch, read_squares, to_greys
from training.fakes.steps import Training
from training.fakes.unet import GROUPS, UNet

LEARNING_RATE = 2e-4
EMA_DECAY = 0.9995
SAMPLING_STEPS = 50
UNSHIFTED_SIDE = 64  # pixels for which the cosine schedule was made
EXTREME = 1e-3  # how near to no noise and to nothing but noise a time may come


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
        if width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}, got {width}")
        if not multiples or side % 2 ** (len(multiples) - 1):
            raise ValueError(f"side must halve {len(multiples) - 1} times, got {side}")
        self.output_side, self.side = output_side, side
        self.steps, self.batch_size = steps, batch_size
        self.device = best_device()
        self._shape = width, tuple(multiples)
        self.network: nn.Module = UNet(width, multiples)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the network; see ``Generator.fit``."""
        torch.manual_seed(seed)
        network = UNet(*self._shape).to(self.device)
        average = averaged(network, decay=EMA_DECAY)
        optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        training = Training(
            title="diffusion",
            folder=folder,
            parts={"network": network, "average": average, "optimiser": optimiser},
            steps=self.steps,
            seed=seed,
        )
        remaining = training.resume()
        if remaining:
            squares = read_squares(scans, self.side)
        for rng in training.beat(remaining):
            loss = self._loss(network, draw_batch(squares, self.batch_size, rng, self.device))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(network)
        self.network = average.module.eval()

    def _loss(self, network: UNet, images: Tensor) -> Tensor:
        # Spread over the batch, the times vary less from step to step (Kingma et al. 2021).
        spread = torch.arange(len(images), device=self.device) / len(images)
        times = (torch.rand(1, device=self.device) + spread) % 1
        signal, disturbance = self._shares(times)
        drawn = torch.randn_like(images)
        predicted = network(signal * images + disturbance * drawn, times)
        return functional.mse_loss(predicted, signal * drawn - disturbance * images)

    def _shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares of image and noise at times in [0, 1], ``[B, 1, 1, 1]`` each.

        Their squares add up to 1.
        """
        angles = (times.clamp(EXTREME, 1 - EXTREME) * math.pi / 2)[:, None, None, None]
        ratio = torch.tan(angles) * max(1.0, self.side / UNSHIFTED_SIDE)
        signal = 1 / torch.sqrt(1 + ratio**2)
        return signal, ratio * signal

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Make one synthetic scan of ``output_side``; ``original`` is not looked at."""
        return Fake(grey=self.sample([seed])[0])

    @torch.no_grad()
    def sample(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Make synthetic scans together, which a GPU does faster than one by one.

        Args:
            seeds: One a scan; each depends on its own alone (up to rounding, whatever the batch).

        Returns:
            float32 in [0, 1], shape ``[N, output_side, output_side]``.
        """
        start = [noise((1, self.side, self.side), seed=seed) for seed in seeds]
        images = torch.stack(start).to(self.device)
        times = torch.linspace(1, 0, SAMPLING_STEPS + 1, device=self.device)
        for now, then in pairwise(times):
            signal, disturbance = self._shares(now[None])
            predicted = self.network(images, now.expand(len(images)))
            clean = (signal * images - disturbance * predicted).clamp(-1, 1)
            drawn = (images - signal * clean) / disturbance
            signal, disturbance = self._shares(then[None])
            images = signal * clean + disturbance * drawn
        return to_greys(clean, self.output_side)
