"""The loss of a detector: of whole scans and of their single cells, and of large weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.detection.architectures import Detector, DetectorOutput
from training.errors import TrainingError
from training.recipe import L2Config

FAKE_CELL = 0.3
"""Share of a cell's pixels from which on it counts as fake; cells with less count as neither."""


def detector_loss(
    output: DetectorOutput, masks: Tensor, labels: Tensor, *, cell_loss: float
) -> Tensor:
    """Return binary cross-entropy of scans and cells, mixed.

    Over the batch, fake and authentic cells weigh the same in total, so small edits are not
    drowned by the tissue around them.

    Args:
        output: Of the detector, for ``B`` scans.
        masks: Share of each pixel that is fake, float in [0, 1], shape ``[B, S, S]``.
        labels: 1.0 for FAKE, shape ``[B]``.
        cell_loss: Weight of the cells in [0, 1]; the scans have the rest.

    Returns:
        A scalar.
    """
    scans = functional.binary_cross_entropy_with_logits(output.logits, labels)
    if cell_loss == 0:
        return scans
    height, width = output.evidence.shape[-2:]
    share = functional.adaptive_avg_pool2d(masks.unsqueeze(1), (height, width))
    share = share.squeeze(1)
    fake, real = (share >= FAKE_CELL).float(), (share <= 0.01).float()
    per_cell = functional.binary_cross_entropy_with_logits(output.evidence, fake, reduction="none")
    cells = _mean(per_cell, fake) + _mean(per_cell, real)
    return (1 - cell_loss) * scans + cell_loss * cells / 2


class PenaltyError(TrainingError):
    """A penalty names a part that the network does not have."""

    def __init__(self, part: str, parts: list[str]) -> None:
        super().__init__(f"l2: the network has no part {part!r}. Its parts: {', '.join(parts)}.")


def l2_penalty(network: Detector, config: L2Config | None) -> Tensor:
    """Return the sum of squared weights (biases and batch norms excepted), times the strength.

    Args:
        network: Its layers are penalised.
        config: Which, and how strongly; None penalises nothing.

    Returns:
        A scalar.

    Raises:
        PenaltyError: The network has no part of a name.
    """
    if config is None:
        return torch.zeros((), device=next(network.parameters()).device)
    parts = dict(network.named_children())
    for part in config.on:
        if part not in parts:
            raise PenaltyError(part, list(parts))
    squares = [
        layer.weight.square().sum()
        for part in config.on
        for layer in parts[part].modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    return config.strength * torch.stack(squares).sum()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / torch.clamp(weights.sum(), min=1.0)
