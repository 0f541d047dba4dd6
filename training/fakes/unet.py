"""A compact U-Net that predicts what a diffusion model has to know about a noisy image.

The layout of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
https://arxiv.org/abs/2006.11239, with fewer channels; written here after the paper.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8


class UNet(nn.Module):
    """Maps noisy images and their noise levels to a prediction of the images' size.

    Args:
        width: Channels at full resolution, a multiple of 8.
        multiples: Channels over ``width`` of each resolution; every further one halves the side.
        blocks: Residual blocks of each resolution.
        attention: Whether the coarsest resolution and the middle look at the whole image.
    """

    def __init__(
        self, width: int, multiples: Sequence[int], *, blocks: int = 2, attention: bool = True
    ) -> None:
        super().__init__()
        level_width = 4 * width
        self.width = width
        self.level = nn.Sequential(
            nn.Linear(width, level_width), nn.SiLU(), nn.Linear(level_width, level_width)
        )
        self.first = nn.Conv2d(1, width, 3, padding=1)
        channels, skips = width, [width]
        self.down = nn.ModuleList()
        for depth, multiple in enumerate(multiples):
            if depth:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            looks = attention and depth == len(multiples) - 1
            for _ in range(blocks):
                self.down.append(_Block(channels, multiple * width, level_width, looks=looks))
                channels = multiple * width
                skips.append(channels)
        self.middle = nn.ModuleList(
            _Block(channels, channels, level_width, looks=attention and i == 0) for i in range(2)
        )
        self.up = nn.ModuleList()
        for depth, multiple in reversed(list(enumerate(multiples))):
            looks = attention and depth == len(multiples) - 1
            for _ in range(blocks + 1):
                self.up.append(
                    _Block(channels + skips.pop(), multiple * width, level_width, looks=looks)
                )
                channels = multiple * width
            if depth:
                self.up.append(_Doubled(channels))
        self.last = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding=1)
        )

    def forward(self, images: Tensor, levels: Tensor) -> Tensor:
        """Return predictions.

        Args:
            images: Shape ``[B, 1, S, S]``; S divides by two for each resolution but the first.
            levels: Noise level of each image, in [0, 1], shape ``[B]``.
        """
        level = self.level(_waves(levels, self.width))
        features = self.first(images)
        skips = [features]
        for layer in self.down:
            features = layer(features, level) if isinstance(layer, _Block) else layer(features)
            skips.append(features)
        for layer in self.middle:
            features = layer(features, level)
        for layer in self.up:
            if isinstance(layer, _Block):
                features = layer(torch.cat([features, skips.pop()], 1), level)
            else:
                features = layer(features)
        return self.last(features)


class _Block(nn.Module):
    """A residual block that is told the noise level, followed by attention if it ``looks``."""

    def __init__(self, inputs: int, outputs: int, level_width: int, *, looks: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        self.level = nn.Linear(level_width, 2 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = _Attention(outputs) if looks else nn.Identity()

    def forward(self, features: Tensor, level: Tensor) -> Tensor:
        inner = self.conv1(functional.silu(self.norm1(features)))
        scale, shift = self.level(functional.silu(level))[:, :, None, None].chunk(2, 1)
        inner = self.norm2(inner) * (1 + scale) + shift
        inner = self.conv2(functional.silu(inner))
        return self.attention(self.shortcut(features) + inner)


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.inward = nn.Conv2d(channels, 3 * channels, 1)
        self.outward = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.outward.weight)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (
            part.flatten(2).transpose(1, 2)[:, None]
            for part in self.inward(self.norm(features)).chunk(3, 1)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        return features + self.outward(seen[:, 0].transpose(1, 2).reshape(features.shape))


class _Doubled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(functional.interpolate(features, scale_factor=2.0, mode="nearest"))


def _waves(levels: Tensor, width: int) -> Tensor:
    """Return sines and cosines of levels in [0, 1], shape ``[B, width]``."""
    half = width // 2
    steps = torch.arange(half, device=levels.device) / half
    angles = 1000 * levels[:, None] * torch.exp(-math.log(10000) * steps)
    return torch.cat([angles.sin(), angles.cos()], 1)
