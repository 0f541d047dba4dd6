"""The network of a gate: a line between two kinds of image, and the distance from one of them."""

import torch
from torch import Tensor, nn

from app.detection.architectures import register
from app.detection.architectures.base import Detector
from app.detection.architectures.trunks import (
    TorchvisionTrunk,
    feature_shape,
    layers_before,
    torchvision_network,
)

LEAST_SQUARE = 1e-3


class Gatekeeper(Detector):
    """Tells scans of a modality from other images by the averaged features of a trunk.

    To a linear function of the features it adds how far they lie from those of the modality: the
    logarithm of a Mahalanobis distance whose covariance has a few ``directions`` of its own and
    the same spread along all others (Lee et al., NeurIPS 2018, https://arxiv.org/abs/1807.03888).
    A line alone knows only the kinds of other image that it was fitted to; what is like none of
    them may lie on either side of it, but is far away. Of where the evidence lies it says nothing.

    Args:
        trunk: Turns images ``[B, 3, S, S]`` into features ``[B, C, h, w]``.
        directions: How many, from 1 to ``C``.
    """

    cells_judge_alone = False

    def __init__(self, trunk: nn.Module, *, directions: int) -> None:
        super().__init__(sharpness=0.0)
        channels = feature_shape(trunk)[0]
        if not 1 <= directions <= channels:
            raise ValueError(f"directions must be from 1 to {channels}, got {directions}")
        self.trunk = trunk
        self.line = nn.Linear(channels, 1)
        self.centre = nn.Parameter(torch.zeros(channels))
        self.scale = nn.Parameter(torch.ones(channels))
        self.directions = nn.Linear(channels, directions, bias=False)
        self.gain = nn.Parameter(torch.ones(1))

    def evidence(self, images: Tensor) -> Tensor:
        """Return the logit as a single cell, shape ``[B, 1, 1]``."""
        features = self.trunk(images)
        # A sum of many squares; half precision would lose what little is left of them.
        with torch.autocast(features.device.type, enabled=False):
            logits = self.judge(features.float().mean((2, 3)))
        return logits[:, None, None]

    def judge(self, features: Tensor) -> Tensor:
        """Return the logits ``[B]`` of averaged features ``[B, C]``."""
        away = (features - self.centre) * self.scale
        square = away.square().sum(1) - self.directions(away).square().sum(1)
        distances = square.clamp_min(LEAST_SQUARE).log()
        logits: Tensor = self.line(features)[:, 0] + self.gain * distances
        return logits


@register("mobilenet_v2_gatekeeper")
def mobilenet_v2_gatekeeper(*, directions: int = 48) -> Gatekeeper:
    """Build the network of a gate on MobileNetV2 (2.3 million parameters)."""
    network = torchvision_network("mobilenet_v2")
    trunk = TorchvisionTrunk("mobilenet_v2", layers_before(network, "classifier"))
    return Gatekeeper(trunk, directions=directions)
