"""FastGAN: whole synthetic scans at high resolution from about a thousand images.

Liu, Zhu, Song and Elgammal, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot
Image Synthesis", ICLR 2021, https://arxiv.org/abs/2101.04775: skip-layer excitation in both
networks, a discriminator that has to redraw authentic images, differentiable augmentation (Zhao et
al. 2020). Written here after the paper. Two things differ: images are redrawn under an L1 loss,
since their perceptual one needs a network trained on photographs, and the discriminator has no
second entrance for a small copy of the image.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.fakes.averaging import averaged
from training.fakes.base import Fake, Generator, register
from training.fakes.device import best_device, images_at_once
from training.fakes.diff_augment import augmented
from training.fakes.fastgan_networks import WIDTHS, Critic, Painter
from training.fakes.squares import draw_batch, read_squares, to_greys
from training.fakes.steps import Training

LATENT = 256  # length of the noise vector, as in the paper
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)
EMA_DECAY = 0.999


@register("fastgan")
class FastGAN(Generator):
    """FastGAN on square grey images, scaled up to the data set's size if need be.

    Args:
        output_side: Side of the fakes, in pixels.
        side: Of the images that it learns, in pixels: 16, 32, 64, 128, 256 or 512.
        width: Channels at a side of 128; 64 is the paper's.
        steps: Optimiser steps.
        batch_size: Scans a step.
    """

    edits_originals = False

    def __init__(
        self,
        *,
        output_side: int,
        side: int = 256,
        width: int = 64,
        steps: int = 50000,
        batch_size: int = 8,
    ) -> None:
        if side not in WIDTHS or side < 16:
            raise ValueError(f"side must be 16, 32, 64, 128, 256 or 512, got {side}")
        self.side = self.drawn_side = side
        self.output_side, self.width = output_side, width
        self.steps, self.batch_size = steps, batch_size
        self.device = best_device()
        self.together = images_at_once(self.device)
        self.painter: nn.Module = Painter(side=side, latent=LATENT, width=width)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train both networks; see ``Generator.fit``."""
        torch.manual_seed(seed)
        painter = Painter(side=self.side, latent=LATENT, width=self.width)
        critic = Critic(side=self.side, width=self.width)
        for network in (painter, critic):
            network.apply(_initialise).to(self.device)
        average = averaged(painter, decay=EMA_DECAY)
        optimiser_p, optimiser_c = (
            torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=BETAS)
            for network in (painter, critic)
        )
        training = Training(
            title="FastGAN",
            folder=folder,
            parts={
                "painter": painter,
                "critic": critic,
                "average": average,
                "optimiser_p": optimiser_p,
                "optimiser_c": optimiser_c,
            },
            steps=self.steps,
            seed=seed,
        )
        remaining = training.resume()
        if remaining:
            squares = read_squares(scans, self.side)
        for rng in training.beat(remaining):
            real = draw_batch(squares, self.batch_size, rng, self.device)
            made = painter(torch.randn(self.batch_size, LATENT, device=self.device))
            loss_c = _critic_loss(critic, real, made.detach(), quarter=int(rng.integers(4)))
            _descend(optimiser_c, loss_c)
            _descend(optimiser_p, -critic(augmented(made))[0].mean())
            average.update_parameters(painter)
        self.painter = average.module.eval()

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Make one synthetic scan of ``output_side``; ``original`` is not looked at."""
        return Fake(grey=self.sample([seed])[0])

    @torch.no_grad()
    def sample(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Make synthetic scans, each from its own seed: ``[N, output_side, output_side]``."""
        images = []
        for seed in seeds:
            source = torch.Generator().manual_seed(seed)
            latent = torch.randn(1, LATENT, generator=source).to(self.device)
            images.append(self.painter(latent, source))
        return to_greys(torch.cat(images), self.output_side)


def _critic_loss(critic: Critic, real: Tensor, made: Tensor, *, quarter: int) -> Tensor:
    """Return the hinge loss, its margin blurred as in the paper's code, and that of redrawing."""
    varied = augmented(real)
    real_logits, features = critic(varied)
    made_logits, _ = critic(augmented(made))
    return (
        functional.relu(0.8 + 0.2 * torch.rand_like(real_logits) - real_logits).mean()
        + functional.relu(0.8 + 0.2 * torch.rand_like(made_logits) + made_logits).mean()
        + critic.redrawing_loss(varied, features, quarter)
    )


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
