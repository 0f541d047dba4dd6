"""What networks are tried on."""

import torch
from torch import Tensor


def images(count: int = 2, size: int = 64) -> Tensor:
    """Return normalised images of noise, ``[count, 3, size, size]``, the same every time."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
