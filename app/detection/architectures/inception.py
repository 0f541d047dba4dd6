"""InceptionV3, which the source documents also call GoogLeNet.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
https://arxiv.org/abs/1512.00567. Layers from torchvision (BSD-3-Clause).
"""

import torch
from torch import Tensor, nn

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk, layers_before, torchvision_network
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD


class InceptionScaling(nn.Module):
    """From ImageNet's mean and deviation to [-1, 1], the input that InceptionV3 learned on."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", std / 0.5, persistent=False)
        self.register_buffer("shift", (mean - 0.5) / 0.5, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``images``, shape ``[B, 3, S, S]``, on the other scale."""
        return images * self.scale + self.shift


@register("inception_v3_dense")
def inception_v3_dense(
    *, image_size: int, hidden: int = 256, dropout: float = 0.5, scale_input: bool = True
) -> DenseHeadDetector:
    """Build InceptionV3 with the documents' transfer head: flatten, dense, dropout, sigmoid.

    ``scale_input`` turns input that is normalised as for ImageNet into what the trunk learned on;
    without it the trunk reads its input as it is.
    """
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(_trunk(scale_input=scale_input), head, flatten_for=image_size)


def _trunk(*, scale_input: bool) -> TorchvisionTrunk:
    network = torchvision_network("inception_v3", aux_logits=False, init_weights=False)
    scaling = {"scaling": InceptionScaling()} if scale_input else {}
    return TorchvisionTrunk("inception_v3", scaling | layers_before(network, "avgpool"))
