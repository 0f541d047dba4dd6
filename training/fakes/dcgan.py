"""DCGAN: whole synthetic scans, as in the product's source documents.

Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", ICLR 2016, https://arxiv.org/abs/1511.06434.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.data.images import read_grey
from training.fakes.adversarial import against
from training.fakes.base import Fake, Generator, register
from training.fakes.checkpoints import Stateful, load_checkpoint, save_checkpoint
from training.fakes.device import best_device

BASE_SIDE = 4
LATENT = 100  # length of the noise vector, as in the paper
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)


@register("dcgan")
class DCGAN(Generator):
    """A DCGAN on square grey images, scaled up to the size of the data set's scans.

    Args:
        side: Of the images that it learns, in pixels: 4 × a power of two.
        width: Channels of the layer next to the image; doubles with every halving of the side.
        epochs: Passes over the training scans.
        batch_size: Scans a step.
        output_side: Side of the fakes, in pixels.
    """

    edits_originals = False

    def __init__(
        self,
        *,
        output_side: int,
        side: int = 64,
        width: int = 64,
        epochs: int = 60,
        batch_size: int = 64,
    ) -> None:
        stages = (side // BASE_SIDE).bit_length() - 1
        if side != BASE_SIDE * 2**stages or stages < 1:
            raise ValueError(f"side must be 4 times a power of two, got {side}")
        self.side = self.drawn_side = side
        self.output_side = output_side
        self.epochs, self.batch_size = epochs, batch_size
        self.device = best_device()
        self.generator = _generator(width, stages)
        self.discriminator = _discriminator(width, stages)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train both networks; see ``Generator.fit``."""
        torch.manual_seed(seed)
        for network in (self.generator, self.discriminator):
            network.apply(_initialise).to(self.device)
        optimisers = {
            name: torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=BETAS)
            for name, network in (("g", self.generator), ("d", self.discriminator))
        }
        state: dict[str, Stateful] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "optimiser_g": optimisers["g"],
            "optimiser_d": optimisers["d"],
        }
        done = load_checkpoint(folder, state)
        if done < self.epochs:
            images = torch.stack([_small(read_grey(path), self.side) for path in scans])
            for epoch in tqdm(range(done, self.epochs), desc="DCGAN", unit="epoch"):
                torch.manual_seed(seed + epoch)
                self._epoch(images, optimisers["g"], optimisers["d"])
                save_checkpoint(folder, state, epoch + 1)
        self.generator.cpu().eval()  # single images are made as fast there, and the same anywhere

    def _epoch(
        self, images: Tensor, optimiser_g: torch.optim.Adam, optimiser_d: torch.optim.Adam
    ) -> None:
        self.generator.train()
        for batch in images[torch.randperm(len(images))].split(self.batch_size):
            mirror = torch.rand(len(batch), 1, 1, 1) < 0.5
            flipped = torch.where(mirror, batch.flip(-1), batch).to(self.device)
            fakes = self.generator(torch.randn(len(batch), LATENT, 1, 1).to(self.device))
            # One-sided label smoothing (Salimans et al. 2016) keeps the discriminator in reach.
            loss_d = against(self.discriminator(flipped), 0.9) + against(
                self.discriminator(fakes.detach()), 0.0
            )
            optimiser_d.zero_grad()
            loss_d.backward()
            optimiser_d.step()
            loss_g = against(self.discriminator(fakes), 1.0)
            optimiser_g.zero_grad()
            loss_g.backward()
            optimiser_g.step()

    @torch.no_grad()
    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Make one synthetic scan of ``output_side``; ``original`` is not looked at."""
        noise = torch.randn(1, LATENT, 1, 1, generator=torch.Generator().manual_seed(seed))
        image = functional.interpolate(
            self.generator(noise), size=self.output_side, mode="bicubic", align_corners=False
        )
        return Fake(grey=((image[0, 0] + 1) / 2).clamp(0, 1).numpy())


def _small(grey: NDArray[np.float32], side: int) -> Tensor:
    image = functional.interpolate(
        torch.from_numpy(grey)[None, None], size=(side, side), mode="bilinear", antialias=True
    )
    return image[0] * 2 - 1


def _generator(width: int, stages: int) -> nn.Sequential:
    channels = width * 2 ** (stages - 1)
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, channels, BASE_SIDE, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]
    for _ in range(stages - 1):
        layers += [
            nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
        ]
        channels //= 2
    return nn.Sequential(
        *layers, nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1), nn.Tanh()
    )


def _discriminator(width: int, stages: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    channels = width
    for _ in range(stages - 1):
        layers += [
            nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels * 2),
            nn.LeakyReLU(0.2),
        ]
        channels *= 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, BASE_SIDE), nn.Flatten(0))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:  # it was drawn before the seed was known
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
