"""Round trips: an authentic scan, taken apart and put together again by a network.

Nothing is added to the anatomy; only the traces of a network's decoder tell the result from the
original. Two ways, drawn by the seed:

- ``autoencoder``: a convolutional variational autoencoder with a patch critic, as the first stage
  of Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022,
  https://arxiv.org/abs/2112.10752 (Kingma and Welling 2014 for the autoencoder itself). An L1
  loss stands in for their perceptual one, which would need a network trained on photographs, and
  pixels are folded into channels at once, so that nothing is costly at full size; the code's
  first channel begins as the scan in small.
- ``super_resolution``: the scan scaled down and up again by a network with sub-pixel
  convolutions: Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158, with the residual blocks
  of Lim et al. (EDSR), CVPR workshop 2017, https://arxiv.org/abs/1707.02921.

Written here after the papers; no third party's code or weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from training.data.images import read_grey
from training.fakes.base import Fake, Generator, register
from training.fakes.device import best_device, noise
from training.fakes.steps import Training
from training.seeding import generator_for

KL_WEIGHT = 1e-5
CRITIC_WEIGHT = 0.01
LEARNING_RATE = 5e-4
CRITIC_RATE = 2e-4
BLOCKS = 3  # residual blocks of each half of an autoencoder
CODE_FACTOR = 4  # sides of the scan over those of its code
LATENT_CHANNELS = 6
SPREAD_AT_FIRST = -8.0  # logarithm of the code's variance; near 0 the noise would drown it


@register("reconstruction")
class Reconstruction(Generator):
    """An authentic scan after a round trip through a network, at its own size.

    Args:
        width: Channels of the networks, a multiple of 8; 24 trains in minutes
            on a CPU, 64 is full size.
        steps: Optimiser steps of each network.
        batch_size: Crops a step.
        crop_side: Side of the training crops, in pixels, a multiple of 16.
        min_strength: Least share of the round trip in a fake, in (0, 1]; the rest stays original.
        upscaling_factors: Super-resolution networks, each 2 or 4; none for an empty list.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        width: int = 48,
        steps: int = 4000,
        batch_size: int = 16,
        crop_side: int = 96,
        min_strength: float = 0.5,
        upscaling_factors: Sequence[int] = (2, 4),
    ) -> None:
        if not set(upscaling_factors) <= {2, 4}:
            raise ValueError(f"upscaling_factors must be 2 or 4, got {list(upscaling_factors)}")
        if width % 8:
            raise ValueError(f"width must be a multiple of 8, got {width}")
        if crop_side % 16 or not 0 < min_strength <= 1:
            raise ValueError("crop_side must be a multiple of 16, min_strength in (0, 1]")
        self.steps, self.batch_size, self.crop_side = steps, batch_size, crop_side
        self.min_strength = min_strength
        self.device = best_device()
        self.networks: dict[str, _RoundTrip] = {"autoencoder": _Autoencoder(width)} | {
            f"super_resolution_x{f}": _Upscaler(width, f) for f in upscaling_factors
        }

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train each network; see ``Generator.fit``."""
        greys: list[Tensor] = []
        for name, network in self.networks.items():
            torch.manual_seed(seed)
            network.apply(_initialise).to(self.device)
            critic = _critic().to(self.device)
            optimisers = [
                torch.optim.Adam(part.parameters(), rate, betas=(0.5, 0.99))
                for part, rate in ((network, LEARNING_RATE), (critic, CRITIC_RATE))
            ]
            training = Training(
                title=name,
                folder=folder / name,
                parts={
                    "network": network,
                    "critic": critic,
                    "optimiser_n": optimisers[0],
                    "optimiser_c": optimisers[1],
                },
                steps=self.steps,
                seed=seed,
            )
            network.train()
            remaining = training.resume()
            if remaining and not greys:
                greys = [_bytes(read_grey(path), self.crop_side) for path in scans]
            for rng in training.beat(remaining):
                batch = _crops(greys, self.batch_size, self.crop_side, rng).to(self.device)
                _step(network, critic, optimisers, batch)
            network.eval()

    @torch.no_grad()
    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake:
        """Send a scan through one of the networks."""
        if original is None:
            raise ValueError("a round trip needs an authentic scan")
        rng = generator_for("reconstruction", seed)
        name = str(rng.choice(list(self.networks)))
        strength = float(rng.uniform(self.min_strength, 1))
        image = torch.from_numpy(np.ascontiguousarray(original))[None, None].to(self.device)
        height, width = original.shape
        padded = functional.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
        back = self.networks[name](padded, seed)[0][0, 0, :height, :width].clamp(0, 1).cpu().numpy()
        grey = original + np.float32(strength) * (back - original)
        return Fake(grey=np.clip(grey, 0, 1), tamper=name)


class _RoundTrip(nn.Module):
    """Takes images ``[B, 1, H, W]`` in [0, 1] apart and puts them together again."""

    def forward(self, images: Tensor, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the images that come back, and what the code costs (a scalar).

        Args:
            images: H and W are multiples of 16.
            seed: Of what is drawn on the way; None takes PyTorch's own state.
        """
        raise NotImplementedError


class _Autoencoder(_RoundTrip):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(CODE_FACTOR),
            nn.Conv2d(CODE_FACTOR**2, width, 3, padding=1),
            *(_Block(width) for _ in range(BLOCKS)),
            nn.Conv2d(width, 2 * LATENT_CHANNELS, 3, padding=1),
        )
        self.decoder = _Decoder(LATENT_CHANNELS, width, BLOCKS, CODE_FACTOR)

    def forward(self, images: Tensor, seed: int | None = None) -> tuple[Tensor, Tensor]:
        images = images * 2 - 1
        mean, spread = self.encoder(images).chunk(2, 1)
        # The first channel starts as the scan in small, so that only detail has to be learned.
        small = functional.avg_pool2d(images, CODE_FACTOR)
        mean = torch.cat([mean[:, :1] + small, mean[:, 1:]], 1)
        spread = (spread + SPREAD_AT_FIRST).clamp(-20, 10)
        drawn = (
            torch.randn_like(mean) if seed is None else noise(mean.shape, seed=seed).to(mean.device)
        )
        code = mean + torch.exp(spread / 2) * drawn
        cost = 0.5 * (mean**2 + spread.exp() - 1 - spread).mean()
        smooth = functional.interpolate(code[:, :1], size=images.shape[-2:], mode="bicubic")
        return (smooth + self.decoder(code) + 1) / 2, cost


class _Upscaler(_RoundTrip):
    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.layers = _Decoder(1, width, 2 * BLOCKS, factor)

    def forward(self, images: Tensor, seed: int | None = None) -> tuple[Tensor, Tensor]:
        size = images.shape[-2] // self.factor, images.shape[-1] // self.factor
        small = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        smooth = functional.interpolate(small, size=images.shape[-2:], mode="bicubic")
        return smooth + self.layers(small * 2 - 1) / 2, torch.zeros((), device=images.device)


class _Decoder(nn.Module):
    """Maps small features to an image with ``factor`` times their sides."""

    def __init__(self, inputs: int, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1)]
        layers += [_Block(width) for _ in range(blocks)]
        for _ in range(factor.bit_length() - 1):
            layers += [nn.Conv2d(width, 2 * width, 3, padding=1), nn.PixelShuffle(2), nn.SiLU()]
            width //= 2
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(self.layers(features))


class _Block(nn.Module):
    """A residual block without normalisation, which would tie a scan's parts together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.first(functional.silu(features))
        return features + self.last(functional.silu(inner))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    # Blocks begin as identities and decoders as even grey, so that nothing blows up at first.
    if isinstance(module, _Block | _Decoder):
        nn.init.zeros_(module.last.weight)


def _critic(width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(1, width, 4, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1)),
    )


def _step(
    network: _RoundTrip,
    critic: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    batch: Tensor,
) -> None:
    back, cost = network(batch)
    loss = (
        functional.l1_loss(back, batch)
        + KL_WEIGHT * cost
        - CRITIC_WEIGHT * critic(back * 2 - 1).mean()
    )
    optimisers[0].zero_grad()
    loss.backward()
    optimisers[0].step()
    doubts = functional.relu(1 - critic(batch * 2 - 1)) + functional.relu(
        1 + critic(back.detach() * 2 - 1)
    )
    optimisers[1].zero_grad()
    doubts.mean().backward()
    optimisers[1].step()


def _bytes(grey: NDArray[np.float32], least: int) -> Tensor:
    """Return a scan in 8 bits, ``[H, W]``, mirrored at its border if smaller than a crop."""
    missing = [max(0, least - side) for side in grey.shape]
    padded = np.pad(grey, [(0, missing[0]), (0, missing[1])], mode="symmetric")
    return torch.from_numpy(np.round(padded * 255).astype(np.uint8))


def _crops(greys: Sequence[Tensor], count: int, side: int, rng: np.random.Generator) -> Tensor:
    """Cut crops at random, some mirrored: float32 in [0, 1], ``[count, 1, side, side]``."""
    crops = []
    for _ in range(count):
        grey = greys[int(rng.integers(len(greys)))]
        top, left = (int(rng.integers(length - side + 1)) for length in grey.shape)
        crop = grey[top : top + side, left : left + side]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    return torch.stack(crops)[:, None].float() / 255
