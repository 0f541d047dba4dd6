"""ResNet-18, ResNet-34 and ResNet-50.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385. Layers from torchvision (BSD-3-Clause).
"""

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector, LinearHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk, layers_before, torchvision_network


@register("resnet18")
def resnet18(
    *, dropout: float = 0.0, sharpness: float = 0.0, outputs: int = 1
) -> LinearHeadDetector:
    """Build ResNet-18 (11.2 million parameters)."""
    return LinearHeadDetector(
        resnet_trunk("resnet18"), dropout=dropout, sharpness=sharpness, outputs=outputs
    )


@register("resnet34")
def resnet34(
    *, dropout: float = 0.0, sharpness: float = 0.0, outputs: int = 1
) -> LinearHeadDetector:
    """Build ResNet-34 (21.3 million parameters)."""
    return LinearHeadDetector(
        resnet_trunk("resnet34"), dropout=dropout, sharpness=sharpness, outputs=outputs
    )


@register("resnet50")
def resnet50(
    *, dropout: float = 0.0, sharpness: float = 0.0, outputs: int = 1
) -> LinearHeadDetector:
    """Build ResNet-50 (23.5 million parameters)."""
    return LinearHeadDetector(
        resnet_trunk("resnet50"), dropout=dropout, sharpness=sharpness, outputs=outputs
    )


@register("resnet50_dense")
def resnet50_dense(
    *, image_size: int, hidden: int = 256, dropout: float = 0.5
) -> DenseHeadDetector:
    """Build ResNet-50 with the documents' transfer head: flatten, dense, dropout, sigmoid."""
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(resnet_trunk("resnet50"), head, flatten_for=image_size)


def resnet_trunk(model_name: str) -> TorchvisionTrunk:
    """Return a fresh trunk; ``model_name`` is torchvision's of one of its ResNets."""
    network = torchvision_network(model_name)
    return TorchvisionTrunk(model_name, layers_before(network, "avgpool"))
