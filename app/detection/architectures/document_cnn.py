"""The convolutional networks that the source documents designed themselves, layer by layer.

CNN 1 to 4 of "Deepfake detection in lung CT scans" (its second methodology) and the Sequential
model of the CT-GAN paper, written in Keras there and with Keras's defaults here.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector
from app.detection.architectures.keras_defaults import batch_norm, initialise_as_keras


@register("document_cnn")
def document_cnn(
    *,
    image_size: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    hidden: int = 256,
    dropout: float = 0.5,
) -> DenseHeadDetector:
    """Build a CNN of the lung CT document: each convolution has batch norm and a max pool.

    The defaults are CNN 1, whose six layers are the four convolutions and the two dense ones. CNN 2
    has five: one convolution less. CNN 3 and 4 are CNN 1 with a dropout of 0.3 and 0.4.
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths must be positive numbers of channels, got {list(widths)}")
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *widths)):
        layers += [_convolution(before, after), nn.ReLU(), batch_norm(after), nn.MaxPool2d(2)]
    head = DenseHead(hidden=hidden, dropout=dropout)
    return DenseHeadDetector(nn.Sequential(*layers), head, flatten_for=image_size)


@register("document_sequential")
def document_sequential(*, image_size: int, hidden: int = 64) -> DenseHeadDetector:
    """Build the Sequential model of the CT-GAN paper, with softmax.

    The paper prints no width for its dense layer; 64 is ours.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((3, 32, 32, 32)):
        layers += [_convolution(before, after), nn.ReLU()]
    head = DenseHead(hidden=hidden, dropout=0.0, outputs=2)
    trunk = nn.Sequential(*layers, nn.MaxPool2d(2))
    return DenseHeadDetector(trunk, head, flatten_for=image_size)


def _convolution(before: int, after: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, kernel_size=3, padding=1)
    initialise_as_keras(layer)
    return layer
