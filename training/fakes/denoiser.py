"""The network of a diffusion model, how it learns, and how it takes noise away.

Training is that of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
https://arxiv.org/abs/2006.11239; sampling that of Song, Meng and Ermon, "Denoising Diffusion
Implicit Models", ICLR 2021, https://arxiv.org/abs/2010.02502, so that the noise at the start
determines the scan. Network and sampler are those of the library diffusers (Apache-2.0); no
weights are taken from it. The schedule is the cosine of Nichol and Dhariwal 2021; the network
predicts Salimans and Ho's *v* (2022), and above 64 pixels the schedule is shifted to more noise as
in Hoogeboom, Heek and Salimans, "simple diffusion", ICML 2023, https://arxiv.org/abs/2301.11093.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.fakes.averaging import averaged
from training.fakes.device import best_device
from training.fakes.squares import draw_batch
from training.fakes.steps import Training

LEARNING_RATE = 2e-4
EMA_DECAY = 0.9995
NOISE_LEVELS = 1000
UNSHIFTED_SIDE = 64  # pixels for which the cosine schedule was made
GROUPS = 8
EXTREME = 1e-3  # of a quarter turn: how near to no noise and to nothing but noise a level comes


class Denoiser:
    """A network that takes noise from square grey images of one side or of several.

    Args:
        sides: Of the images that it learns, in pixels; each a multiple of 2 for each halving.
        width: Channels at full resolution, a multiple of 8.
        multiples: Channels over ``width`` of each resolution; the side halves from one to the
            next.
        most_noise: Share of the way to nothing but noise that it has to know, in (0, 1].

    Raises:
        ValueError: The arguments do not fit together.
    """

    def __init__(
        self,
        *,
        sides: Sequence[int],
        width: int,
        multiples: Sequence[int],
        most_noise: float = 1.0,
    ) -> None:
        if width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}, got {width}")
        for side in sides:
            if not multiples or side % 2 ** (len(multiples) - 1):
                raise ValueError(f"side must halve {len(multiples) - 1} times, got {side}")
        self.sides = tuple(sides)
        self._levels = math.ceil(most_noise * NOISE_LEVELS)
        self.device = best_device()
        self._channels = tuple(multiple * width for multiple in multiples)
        self.network: nn.Module = _unet(self._channels)
        self.sampler = _sampler(max(sides))

    def fit(
        self,
        images_of: Callable[[int], Tensor],
        folder: Path,
        *,
        title: str,
        steps: int,
        batch: int,
        seed: int,
    ) -> None:
        """Train the network, or load what was learned before.

        Args:
            images_of: Gives authentic images of a side, uint8, shape ``[N, 1, side, side]``; it is
                not called where nothing is left to learn.
            folder: For the checkpoint; a stopped training resumes from it.
            title: For the progress bar; the steps' draws depend on it.
            steps: Optimiser steps.
            batch: Images a step of the least side; of a greater one fewer, for as many pixels.
            seed: Of initialisation and steps.
        """
        torch.manual_seed(seed)
        network = _unet(self._channels).to(self.device)
        average = averaged(network, decay=EMA_DECAY)
        optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        training = Training(
            title=title,
            folder=folder,
            parts={"network": network, "average": average, "optimiser": optimiser},
            steps=steps,
            seed=seed,
        )
        remaining = training.resume()
        images = {side: images_of(side) for side in self.sides if remaining}
        for rng in training.beat(remaining):
            side = self.draw_side(rng)
            size = max(2, batch * min(self.sides) ** 2 // side**2)
            loss = self._loss(network, draw_batch(images[side], size, rng, self.device))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(network)
        self.network = average.module.to(self.device).eval()

    def draw_side(self, rng: np.random.Generator) -> int:
        """Draw one of the sides; nothing is drawn where there is but one."""
        return self.sides[rng.integers(len(self.sides))] if len(self.sides) > 1 else self.sides[0]

    def _loss(self, network: nn.Module, images: Tensor) -> Tensor:
        # Spread over the batch, the levels vary less from step to step (Kingma et al. 2021).
        spread = torch.arange(len(images), device=self.device) / len(images)
        levels = ((torch.rand(1, device=self.device) + spread) % 1 * self._levels).long()
        drawn = torch.randn_like(images)
        predicted = network(self.sampler.add_noise(images, drawn, levels), levels).sample
        return functional.mse_loss(predicted, self.sampler.get_velocity(images, drawn, levels))

    @torch.no_grad()
    def draw(self, noise: Tensor, *, steps: int) -> Tensor:
        """Make images of noise alone.

        Args:
            noise: Normal, shape ``[N, 1, side, side]``.
            steps: From nothing but noise to none.

        Returns:
            About [-1, 1], shape as ``noise``.
        """
        return self._walk(noise.to(self.device), self._way(steps))

    @torch.no_grad()
    def redraw(
        self,
        images: Tensor,
        noise: Tensor,
        *,
        share: float,
        steps: int,
        where: Tensor | None = None,
    ) -> Tensor:
        """Give images noise, and take it away again.

        With ``where`` a part alone is redrawn, so that it fits what surrounds it, which is put back
        at each step with as much noise as is left: Avrahami, Lischinski and Fried, "Blended
        Diffusion", CVPR 2022, https://arxiv.org/abs/2111.14818.

        Args:
            images: In [-1, 1], shape ``[N, 1, side, side]``.
            noise: Normal, shape as ``images``.
            share: Of the way to nothing but noise, in (0, ``most_noise``].
            steps: From there to no noise.
            where: Share of each pixel that is redrawn, in [0, 1], shape as ``images``; all of them
                where None.

        Returns:
            About [-1, 1], shape as ``images``.
        """
        images, noise = images.to(self.device), noise.to(self.device)
        whole_way = min(NOISE_LEVELS, round(steps / share))
        levels = self._way(whole_way)[-min(steps, whole_way) :]
        if levels[0] >= self._levels:  # by rounding, beyond what was learned
            levels = self._way(whole_way + 1)[-steps:]
        noisy = [self.sampler.add_noise(images, noise, level) for level in levels.split(1)]
        if where is None:
            return self._walk(noisy[0], levels)
        share_of = where.to(self.device)
        redrawn = noisy[0]
        for level, kept in zip(levels.split(1), [*noisy[1:], images], strict=True):
            redrawn = share_of * self._walk(redrawn, level) + (1 - share_of) * kept
        return redrawn

    def _way(self, steps: int) -> Tensor:
        """Return the levels from nothing but noise down, in so many steps."""
        self.sampler.set_timesteps(steps, device=self.device)
        levels: Tensor = self.sampler.timesteps
        # For 61 steps and some other numbers the rounding of floats adds a level -1, which would
        # mean nothing but noise again.
        return levels[levels >= 0]

    def _walk(self, images: Tensor, levels: Tensor) -> Tensor:
        for level in levels:
            predicted = self.network(images, level).sample
            images = self.sampler.step(predicted, level, images).prev_sample
        return images


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
    before = np.concatenate([[1.0], signal_power[1:-1]])  # the first level adds some noise too
    return 1 - signal_power[1:] / before
