"""A network that looks at noise and frequencies rather than at anatomy: for comparison.

Generators and editors leave other noise than a scanner does. One branch reads high-pass residuals
(Fridrich and Kodovsky, "Rich Models for Steganalysis of Digital Images", IEEE TIFS 2012, with the
three filters of Zhou et al., "Learning Rich Features for Image Manipulation Detection", CVPR 2018,
https://arxiv.org/abs/1805.04953), the other the spectrum of each 8×8 block (Frank et al.,
"Leveraging Frequency Analysis for Deep Fake Image Recognition", ICML 2020,
https://arxiv.org/abs/2003.08685). Written from the papers.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.detection.architectures import register
from app.detection.architectures.heads import LinearHeadDetector

BLOCK = 8
GREY_LEVELS = 255 * 0.226
"""8-bit grey levels to one unit of an input that is normalised with ImageNet's deviation."""
TRUNCATION = 3.0
"""Largest residual that is told apart, in grey levels: beyond are edges, not noise."""
RESIDUAL_WIDTHS = (32, 64, 128)
SPECTRUM_WIDTH = 64
WIDTH = 128

SECOND_ORDER = [1.0, -2.0, 1.0]
SQUARE_3 = [[-1.0, 2.0, -1.0], [2.0, -4.0, 2.0], [-1.0, 2.0, -1.0]]
SQUARE_5 = [
    [-1.0, 2.0, -2.0, 2.0, -1.0],
    [2.0, -6.0, 8.0, -6.0, 2.0],
    [-2.0, 8.0, -12.0, 8.0, -2.0],
    [2.0, -6.0, 8.0, -6.0, 2.0],
    [-1.0, 2.0, -2.0, 2.0, -1.0],
]


class NoiseTrunk(nn.Module):
    """Noise residuals and block spectra of images, joined at one cell a block of 8×8 pixels."""

    filters: Tensor
    cosines: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", high_pass_filters(), persistent=False)
        self.register_buffer("cosines", block_cosines(), persistent=False)
        # Average pools: a maximum would keep the outlier and lose the noise.
        stages = [
            nn.Sequential(
                *_convolution(before, after), *_convolution(after, after), nn.AvgPool2d(2)
            )
            for before, after in pairwise((len(self.filters), *RESIDUAL_WIDTHS))
        ]
        self.residuals = nn.Sequential(*stages)
        self.spectrum = nn.Sequential(
            nn.BatchNorm2d(BLOCK**2), *_convolution(BLOCK**2, SPECTRUM_WIDTH, kernel_size=1)
        )
        self.join = nn.Sequential(*_convolution(RESIDUAL_WIDTHS[-1] + SPECTRUM_WIDTH, WIDTH))

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``[B, 128, S / 8, S / 8]`` of images ``[B, 3, S, S]``."""
        if images.shape[-1] % BLOCK:
            raise ValueError(f"image_size must be a multiple of {BLOCK}, got {images.shape[-1]}")
        grey = GREY_LEVELS * images.mean(1, keepdim=True)
        padded = functional.pad(grey, (2, 2, 2, 2), mode="replicate")
        noise = functional.conv2d(padded, self.filters).clamp(-TRUNCATION, TRUNCATION)
        spectrum = functional.conv2d(grey, self.cosines, stride=BLOCK).abs().log1p()
        both = torch.cat([self.residuals(noise), self.spectrum(spectrum)], dim=1)
        joined: Tensor = self.join(both)
        return joined


def high_pass_filters() -> Tensor:
    """Return the three filters, each of which answers 0 to any even grey; ``[3, 1, 5, 5]``."""
    filters = torch.zeros(3, 1, 5, 5)
    filters[0, 0, 1:4, 1:4] = torch.tensor(SQUARE_3) / 4
    filters[1, 0] = torch.tensor(SQUARE_5) / 12
    filters[2, 0, 2, 1:4] = torch.tensor(SECOND_ORDER) / 2
    return filters


def block_cosines() -> Tensor:
    """Return the orthonormal cosine transform (DCT-II) of a block as filters, ``[64, 1, 8, 8]``."""
    position, frequency = torch.arange(BLOCK) + 0.5, torch.arange(BLOCK)
    waves = torch.cos(math.pi / BLOCK * torch.outer(frequency, position))
    waves *= math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return torch.einsum("uy,vx->uvyx", waves, waves).reshape(BLOCK**2, 1, BLOCK, BLOCK)


@register("noise_residual")
def noise_residual(*, dropout: float = 0.2, sharpness: float = 0.0) -> LinearHeadDetector:
    """Build the network of noise residuals and block spectra (0.5 million parameters)."""
    return LinearHeadDetector(NoiseTrunk(), dropout=dropout, sharpness=sharpness)


def _convolution(before: int, after: int, kernel_size: int = 3) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2, bias=False)
    return [layer, nn.BatchNorm2d(after), nn.ReLU()]
