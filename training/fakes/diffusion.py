"""Diffusion: whole synthetic scans, drawn from noise step by step.

Training is that of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
https://arxiv.org/abs/2006.11239; sampling that of Song, Meng and Ermon, "Denoising Diffusion
Implicit Models", ICLR 2021, https://arxiv.org/abs/2010.02502, so that the noise at the start
determines the scan. Network and sampler are those of the library diffusers (Apache-2.0); no
weights are taken from it. The schedule is the cosine of Nichol and Dhariwal 2021; the network
predicts Salimans and Ho's *v* (2022), and above 64 pixels the schedule is shifted to more noise as
in Hoogeboom, Heek and Salimans, "simple diffusion", ICML 2023, https://arxiv.org/abs/2301.11093.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.fakes.averaging import averaged
from training.fakes.base import Fake, Generator, register
from training.fakes.device import best_device, images_at_once, noise
from training.fakes.squares import draw_batch, read_squares, to_greys
from training.fakes.steps import Training

LEARNING_RATE = 2e-4
EMA_DECAY = 0.9995
NOISE_LEVELS = 1000
SAMPLING_STEPS = 50
UNSHIFTED_SIDE = 64  # pixels for which the cosine schedule was made
GROUPS = 8
EXTREME = 1e-3  # of a quarter turn: how near to no noise and to nothing but noise a level comes


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
        self.together = images_at_once(self.device)
        self._channels = tuple(multiple * width for multiple in multiples)
        self.network: nn.Module = _unet(self._channels)
        self.sampler = _sampler(side)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the network; see ``Generator.fit``."""
        torch.manual_seed(seed)
        network = _unet(self._channels).to(self.device)
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
        self.network = average.module.to(self.device).eval()

    def _loss(self, network: nn.Module, images: Tensor) -> Tensor:
        # Spread over the batch, the levels vary less from step to step (Kingma et al. 2021).
        spread = torch.arange(len(images), device=self.device) / len(images)
        levels = ((torch.rand(1, device=self.device) + spread) % 1 * NOISE_LEVELS).long()
        drawn = torch.randn_like(images)
        predicted = network(self.sampler.add_noise(images, drawn, levels), levels).sample
        return functional.mse_loss(predicted, self.sampler.get_velocity(images, drawn, levels))

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Make one synthetic scan of ``output_side``; ``original`` is not looked at."""
        return Fake(grey=self.sample([seed])[0])

    @torch.no_grad()
    def sample(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Make synthetic scans together; see ``Generator.sample``."""
        start = [noise((1, self.side, self.side), seed=seed) for seed in seeds]
        images = torch.stack(start).to(self.device)
        self.sampler.set_timesteps(SAMPLING_STEPS, device=self.device)
        for level in self.sampler.timesteps:
            predicted = self.network(images, level).sample
            images = self.sampler.step(predicted, level, images).prev_sample
        return to_greys(images, self.output_side)


def _unet(channels: Sequence[int]) -> nn.Module:
    """Return the network; only its coarsest resolution and its middle look at the whole image."""
    from diffusers import UNet2DModel  # takes seconds to load

    plain = len(channels) - 1
    network = UNet2DModel(
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        norm_num_groups=GROUPS,
        attention_head_dim=GROUPS,
    )
    return cast(nn.Module, network)  # its decorators hide that it is one


def _sampler(side: int) -> Any:
    """Return diffusers' sampler; its decorators hide its methods from type checkers."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=NOISE_LEVELS,
        trained_betas=_betas(side),
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=True,
    )


def _betas(side: int) -> NDArray[np.float64]:
    """Return the share of noise that each level adds, for images of ``side`` pixels."""
    times = np.linspace(0, 1, NOISE_LEVELS + 1).clip(EXTREME, 1 - EXTREME)
    ratio = np.tan(times * np.pi / 2) * max(1.0, side / UNSHIFTED_SIDE)
    signal_power = 1 / (1 + ratio**2)
    return 1 - signal_power[1:] / signal_power[:-1]
