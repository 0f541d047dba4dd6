"""The loss that generators and discriminators play with.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, in the non-saturating form.
"""

import torch
from torch import Tensor
from torch.nn import functional


def against(logits: Tensor, target: float) -> Tensor:
    """Return how far a discriminator's logits are from a verdict: 1.0 for real, 0.0 for fake."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
