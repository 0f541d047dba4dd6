"""Differentiable augmentation: a discriminator sees few images in many ways.

Zhao, Liu, Lin, Zhu and Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS
2020, https://arxiv.org/abs/2006.10738: brightness and contrast, translation, cutout. Written here
after the paper.
"""

import torch
from torch import Tensor
from torch.nn import functional

SHIFT = 0.125  # of the side, either way
CUT = 0.5  # side of what is cut out over that of the image


def augmented(images: Tensor) -> Tensor:
    """Vary each image on its own; gradients pass through.

    Args:
        images: In [-1, 1], shape ``[B, 1, S, S]``.

    Returns:
        The same shape; authentic and made images must both be varied.
    """
    return _cut(_shifted(_exposed(images)))


def _exposed(images: Tensor) -> Tensor:
    draw = torch.rand(2, len(images), 1, 1, 1, device=images.device)
    images = images + draw[0] - 0.5
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (draw[1] + 0.5) + mean


def _shifted(images: Tensor) -> Tensor:
    count, _, side, _ = images.shape
    reach = int(side * SHIFT + 0.5)
    shift = torch.randint(0, 2 * reach + 1, (2, count, 1), device=images.device)
    lines = torch.arange(side, device=images.device)
    rows, columns = (lines + shift[0])[:, :, None], (lines + shift[1])[:, None, :]
    padded = functional.pad(images, [reach] * 4)[:, 0]
    return padded[torch.arange(count, device=images.device)[:, None, None], rows, columns][:, None]


def _cut(images: Tensor) -> Tensor:
    count, _, side, _ = images.shape
    half = int(side * CUT) // 2
    middle = torch.randint(0, side + 1, (2, count, 1), device=images.device)
    lines = torch.arange(side, device=images.device)
    outside = ((lines - middle).abs() > half).to(images.dtype)
    kept = 1 - (1 - outside[0])[:, :, None] * (1 - outside[1])[:, None, :]
    return images * kept[:, None]
