"""MobileNetV2, a network for small devices.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
https://arxiv.org/abs/1801.04381. Layers from torchvision (BSD-3-Clause).
"""

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector, LinearHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk, layers_before, torchvision_network


@register("mobilenet_v2")
def mobilenet_v2(*, dropout: float = 0.2, sharpness: float = 0.0) -> LinearHeadDetector:
    """Build MobileNetV2 (2.2 million parameters)."""
    return LinearHeadDetector(_trunk(), dropout=dropout, sharpness=sharpness)


@register("mobilenet_v2_dense")
def mobilenet_v2_dense(
    *, image_size: int, hidden: int = 256, dropout: float = 0.5
) -> DenseHeadDetector:
    """Build MobileNetV2 with the documents' transfer head: flatten, dense, dropout, sigmoid."""
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(_trunk(), head, flatten_for=image_size)


def _trunk() -> TorchvisionTrunk:
    network = torchvision_network("mobilenet_v2")
    return TorchvisionTrunk("mobilenet_v2", layers_before(network, "classifier"))
