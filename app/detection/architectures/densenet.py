"""DenseNet-121, in which every layer reads all those before it.

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017,
https://arxiv.org/abs/1608.06993. Layers from torchvision (BSD-3-Clause).
"""

from torch import nn

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector, LinearHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk, layers_before, torchvision_network


@register("densenet121")
def densenet121(*, dropout: float = 0.0, sharpness: float = 0.0) -> LinearHeadDetector:
    """Build DenseNet-121 (7.0 million parameters)."""
    return LinearHeadDetector(_trunk(), dropout=dropout, sharpness=sharpness)


@register("densenet121_dense")
def densenet121_dense(
    *, image_size: int, hidden: int = 256, dropout: float = 0.5
) -> DenseHeadDetector:
    """Build DenseNet-121 with the documents' transfer head: flatten, dense, dropout, sigmoid."""
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(_trunk(), head, flatten_for=image_size)


def _trunk() -> TorchvisionTrunk:
    network = torchvision_network("densenet121")
    # torchvision applies the last ReLU in its forward method, outside of its layers.
    layers = layers_before(network, "classifier") | {"relu": nn.ReLU()}
    return TorchvisionTrunk("densenet121", layers)
