"""Where generators learn and paint: on a GPU where there is one, otherwise on the CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor


def best_device() -> torch.device:
    """Return the GPU if PyTorch can use one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def images_at_once(device: torch.device) -> int:
    """Return how many images are best made together: a CPU is no faster with many."""
    return 32 if device.type == "cuda" else 1


def noise(shape: Sequence[int], *, seed: int) -> Tensor:
    """Draw normal noise on the CPU, so that a seed means the same numbers on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
