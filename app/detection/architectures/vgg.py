"""VGG16: thirteen 3×3 convolutions, and the best transfer model of the source documents.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, https://arxiv.org/abs/1409.1556. Layers from torchvision (BSD-3-Clause).
"""

from torch import nn

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk


@register("vgg16_dense")
def vgg16_dense(*, image_size: int, hidden: int = 256, dropout: float = 0.5) -> DenseHeadDetector:
    """Build VGG16 with the documents' transfer head: flatten, dense, dropout, sigmoid."""
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(_trunk(), head, flatten_for=image_size)


def _trunk() -> TorchvisionTrunk:
    from torchvision.models.vgg import cfgs, make_layers

    # Not from models.vgg16(), which would fill half a gigabyte with a classifier to throw away.
    features = make_layers(cfgs["D"])
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return TorchvisionTrunk("vgg16", {"features": features})
