"""Slowly moving averages of networks, which paint better than the networks of any one step."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(network: nn.Module, *, decay: float) -> AveragedModel:
    """Return a copy whose ``update_parameters`` lets it follow the network.

    Args:
        network: On the device where it is trained.
        decay: Share of the average that a step leaves, in [0, 1). Early steps leave less, so that
            a short training is not an average of the initialisation (as in TensorFlow's
            ``ExponentialMovingAverage``).
    """

    @torch.no_grad()
    def follow(
        averages: tuple[Tensor, ...] | list[Tensor],
        values: tuple[Tensor, ...] | list[Tensor],
        updates: Tensor | int,
    ) -> None:
        kept = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - kept)
            else:
                average.copy_(value)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
