"""What every detector gives: a logit for the scan and the cells it comes from."""

import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ONE_GREY = 0.01
"""Share of an image's range of values within which the pixels of a cell count as alike."""


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

    One scanner's images lie higher than another's in all of their cells, and no edit is the reason.
    So a whole scan can be judged by what stands out of its own background, the median of the cells
    that show anything, as radar does whose false alarms must not depend on clutter (Rohling, "Radar
    CFAR Thresholding in Clutter and Multiple Target Situations", IEEE TAES 1983): backgrounds below
    a level are raised to it, and all cells with them. Those above stay, since nothing stands out of
    a scan that is synthetic all over. In training nothing is raised: an edit may fill a crop.

    Attributes:
        cells_judge_alone: Whether a cell's evidence is a verdict on that cell, from its features
            alone (and raised as the whole scan is). Otherwise it is the cell's share of the verdict
            on the scan: the shares' mean is the logit all the same, but no loss may train them
            against a mask.

    Args:
        sharpness: ``r`` above, not negative; 0 takes the mean.
        background_level: Logit to which lower backgrounds are raised, about the highest one of
            authentic scans; None leaves the cells as they are.
        mirrored: Whether a whole scan is judged together with its mirror image, by the mean of both
            in each cell: two looks err less than one. In training each crop is looked at once.
    """

    cells_judge_alone: ClassVar[bool] = True

    def __init__(
        self, *, sharpness: float, background_level: float | None = None, mirrored: bool = False
    ) -> None:
        super().__init__()
        if not (math.isfinite(sharpness) and sharpness >= 0):
            raise ValueError(f"sharpness must be 0 or greater, got {sharpness}")
        if background_level is not None and not math.isfinite(background_level):
            raise ValueError(f"background_level must be a finite number, got {background_level}")
        self.sharpness = sharpness
        self.background_level = background_level
        self.mirrored = mirrored

    def evidence(self, images: Tensor) -> Tensor:
        """Return the logit of each cell, shape ``[B, h, w]``, for images ``[B, 3, S, S]``."""
        raise NotImplementedError

    def grown_from(
        self, weights: Mapping[str, Tensor], second: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return weights to begin with, for those of a network without this one's newest parts.

        Those of any other network come back as they are.

        Args:
            weights: Of that network.
            second: Of another, as which a second look of this one begins.

        Raises:
            ValueError: There is a second one, but no second look.
        """
        if second is not None:
            raise ValueError("this network looks once")
        return dict(weights)

    def forward(self, images: Tensor) -> DetectorOutput:
        """Return logits and evidence for normalised images, float, shape ``[B, 3, S, S]``."""
        evidence = self._cells(images)
        if self.background_level is not None and not self.training:
            below = self.background_level - _background(evidence, images)
            evidence = evidence + below.clamp(min=0)
        return DetectorOutput(logits=self.pool(evidence), evidence=evidence)

    def _cells(self, images: Tensor) -> Tensor:
        if self.training or not self.mirrored:
            return self.evidence(images)
        seen, mirrored = self.evidence(torch.cat([images, images.flip(-1)])).chunk(2)
        return (seen + mirrored.flip(-1)) / 2

    def pool(self, evidence: Tensor) -> Tensor:
        """Return the scans' logits ``[B]`` for cells ``[B, h, w]``."""
        cells = evidence.flatten(1)
        if self.sharpness == 0:
            return cells.mean(1)
        log_count = math.log(cells.shape[1])
        return (torch.logsumexp(self.sharpness * cells, 1) - log_count) / self.sharpness


def _background(cells: Tensor, images: Tensor) -> Tensor:
    """Return the medians ``[B, 1, 1]`` of cells ``[B, h, w]`` that show anything of their images.

    Borders and frames of one grey are no background. Where all is of one grey it is infinite. It
    is found by sorting, as any runtime can.
    """
    light, size = images[:, :1], cells.shape[-2:]
    highest = functional.adaptive_max_pool2d(light, size)
    lowest = -functional.adaptive_max_pool2d(-light, size)
    least = ONE_GREY * (highest.amax((2, 3), keepdim=True) - lowest.amin((2, 3), keepdim=True))
    shown = (highest - lowest > least).flatten(1)
    ordered = cells.flatten(1).masked_fill(~shown, math.inf).sort(1).values
    middle = (shown.sum(1, keepdim=True) - 1).clamp(min=0) // 2
    return ordered.gather(1, middle)[:, :, None]
