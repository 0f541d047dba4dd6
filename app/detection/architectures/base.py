"""What every detector gives: a logit for the scan and the cells it comes from."""

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class DetectorOutput(NamedTuple):
    """A detector's answer to a batch.

    Attributes:
        logits: Before calibration, positive towards FAKE, shape ``[B]``.
        evidence: The logit of each cell, shape ``[B, h, w]``; pooled, they are ``logits``.
    """

    logits: Tensor
    evidence: Tensor


class Detector(nn.Module):
    """A network that judges images ``[B, 3, S, S]``; subclasses compute the evidence.

    The scan's logit is a soft maximum over the cells (log-mean-exp):
    ``(1 / r) log mean exp(r * cell)``. With ``r -> 0`` it is their mean, as suits fakes that are
    synthetic all over; with a large ``r`` their maximum, as suits small local edits
    (Pinheiro and Collobert, "From Image-level to Pixel-level Labeling", CVPR 2015).

    Attributes:
        cells_judge_alone: Whether a cell's evidence is a verdict on that cell, from its features
            alone. Otherwise it is the cell's share of the verdict on the scan: the shares' mean is
            the logit all the same, but no loss may train them against a mask.

    Args:
        sharpness: ``r`` above, not negative; 0 takes the mean.
    """

    cells_judge_alone: ClassVar[bool] = True

    def __init__(self, *, sharpness: float) -> None:
        super().__init__()
        if not (math.isfinite(sharpness) and sharpness >= 0):
            raise ValueError(f"sharpness must be 0 or greater, got {sharpness}")
        self.sharpness = sharpness

    def evidence(self, images: Tensor) -> Tensor:
        """Return the logit of each cell, shape ``[B, h, w]``, for images ``[B, 3, S, S]``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> DetectorOutput:
        """Return logits and evidence for normalised images, float, shape ``[B, 3, S, S]``."""
        evidence = self.evidence(images)
        return DetectorOutput(logits=self.pool(evidence), evidence=evidence)

    def pool(self, evidence: Tensor) -> Tensor:
        """Return the scans' logits ``[B]`` for cells ``[B, h, w]``."""
        cells = evidence.flatten(1)
        if self.sharpness == 0:
            return cells.mean(1)
        log_count = math.log(cells.shape[1])
        return (torch.logsumexp(self.sharpness * cells, 1) - log_count) / self.sharpness
