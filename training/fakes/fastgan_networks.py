"""The two networks of FastGAN; see ``training.fakes.fastgan`` for the paper."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

BASE_SIDE = 4
CODE_SIDE = 8  # of the discriminator's last features
SKIP = 4  # doublings that a skip-layer excitation bridges where there are so many
WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25}
"""Channels over ``width`` at each side, as in the paper's networks."""


class Painter(nn.Module):
    """The generator: noise to images.

    Args:
        side: Of the images, in pixels: 16, 32 … 512.
        latent: Length of the noise vector.
        width: Channels at a side of 128.
    """

    def __init__(self, *, side: int, latent: int, width: int) -> None:
        super().__init__()
        channels = [_channels(s, width) for s in _sides(side)]
        self.first = nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * channels[0], BASE_SIDE, bias=False),
            nn.BatchNorm2d(2 * channels[0]),
            nn.GLU(1),
        )
        self.rises = nn.ModuleList(_Rise(low, high) for low, high in pairwise(channels))
        self.skip = min(SKIP, len(self.rises))
        self.excitations = nn.ModuleList(
            _Excitation(low, high)
            for low, high in zip(channels, channels[self.skip :], strict=False)
        )
        self.last = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def forward(self, latents: Tensor, source: torch.Generator | None = None) -> Tensor:
        """Return images in [-1, 1], shape ``[B, 1, side, side]``.

        Args:
            latents: Shape ``[B, latent]``.
            source: Where the fine noise is drawn, on the CPU; None draws it on the device.
        """
        features = [self.first(functional.normalize(latents, dim=1)[:, :, None, None])]
        for number, rise in enumerate(self.rises, start=1):
            risen = rise(features[-1], source)
            if number >= self.skip:
                at = number - self.skip
                risen = self.excitations[at](features[at], risen)
            features.append(risen)
        return torch.tanh(self.last(features[-1]))


class Critic(nn.Module):
    """The discriminator, which also has to know an authentic scan well enough to redraw it.

    Args:
        side: Of the images, in pixels.
        width: Channels at a side of 128.
    """

    def __init__(self, *, side: int, width: int) -> None:
        super().__init__()
        sides = [s for s in reversed(_sides(side)) if s >= CODE_SIDE]
        channels = [_channels(s, width) for s in sides]
        self.first = nn.Sequential(_conv(1, channels[0], 3, padding=1), nn.LeakyReLU(0.2))
        self.falls = nn.ModuleList(_Fall(large, small) for large, small in pairwise(channels))
        self.skip = min(SKIP, len(self.falls))
        self.excitations = nn.ModuleList(
            _Excitation(large, small)
            for large, small in zip(channels, channels[self.skip :], strict=False)
        )
        self.judge = nn.Sequential(
            _conv(channels[-1], channels[-1], 1),
            nn.LeakyReLU(0.2),
            _conv(channels[-1], 1, BASE_SIDE),
        )
        self.redraw_whole = _redrawer(channels[-1], width, min(side, 128))
        self.redraw_part = _redrawer(channels[-2], width, min(side, 128))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits ``[B, 1, 5, 5]`` and the features of sides 16 and 8."""
        features = [self.first(images)]
        for number, fall in enumerate(self.falls, start=1):
            fallen = fall(features[-1])
            if number >= self.skip:
                at = number - self.skip
                fallen = self.excitations[at](features[at], fallen)
            features.append(fallen)
        return self.judge(features[-1]), features[-2:]

    def redrawing_loss(self, images: Tensor, features: list[Tensor], quarter: int) -> Tensor:
        """Return how badly authentic images are redrawn from their features.

        Args:
            images: Shape ``[B, 1, S, S]``.
            features: As ``forward`` returned them.
            quarter: Which quarter is redrawn at full detail, 0 to 3.
        """
        half, middle = images.shape[-1] // 2, CODE_SIDE
        down, right = divmod(quarter, 2)
        part = images[..., down * half :, right * half :][..., :half, :half]
        seen = features[0][..., down * middle :, right * middle :][..., :middle, :middle]
        return _distance(self.redraw_whole(features[1]), images) + _distance(
            self.redraw_part(seen), part
        )


class _Rise(nn.Module):
    """Doubles the side; noise of a learned strength gives grain that no pattern explains."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.grain = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(2 * outputs)

    def forward(self, features: Tensor, source: torch.Generator | None) -> Tensor:
        features = self.conv(functional.interpolate(features, scale_factor=2.0, mode="nearest"))
        shape = (len(features), 1, *features.shape[2:])
        if source is None:
            grain = torch.randn(shape, device=features.device)
        else:
            grain = torch.randn(shape, generator=source).to(features.device)
        return functional.glu(self.norm(features + self.grain * grain), 1)


class _Excitation(nn.Module):
    """Skip-layer excitation: channels of one layer are weighed by another, far away."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(BASE_SIDE),
            nn.Conv2d(low, high, BASE_SIDE, bias=False),
            nn.SiLU(),
            nn.Conv2d(high, high, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return high * self.weigh(low)


class _Fall(nn.Module):
    """Halves the side along two ways, one of them plain."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _conv(inputs, outputs, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            _conv(outputs, outputs, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.plain = nn.Sequential(nn.AvgPool2d(2), _conv(inputs, outputs, 1), nn.LeakyReLU(0.2))

    def forward(self, features: Tensor) -> Tensor:
        return (self.main(features) + self.plain(features)) / 2


def _redrawer(inputs: int, width: int, side: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    reached = CODE_SIDE
    while reached < side:
        reached *= 2
        outputs = max(4, min(2 * width, _channels(reached, width)))
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * outputs),
            nn.GLU(1),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, padding=1), nn.Tanh())


def _distance(redrawn: Tensor, images: Tensor) -> Tensor:
    if images.shape != redrawn.shape:
        images = functional.interpolate(
            images, size=redrawn.shape[-2:], mode="bilinear", antialias=True
        )
    return functional.l1_loss(redrawn, images)


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int = 0) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding))


def _sides(side: int) -> list[int]:
    return [s for s in WIDTHS if s <= side]


def _channels(side: int, width: int) -> int:
    return max(4, int(WIDTHS[side] * width))
