"""The residual network that the lung CT document calls ResNet-50 (variants 1 and 2).

Its printed source stacks 3, 4, 6 and 3 blocks of two 3×3 convolutions, as ResNet-34 does, not
ResNet-50's bottlenecks, and every shortcut is a convolution. Built here as printed, after He et
al., "Deep Residual Learning for Image Recognition", CVPR 2016, https://arxiv.org/abs/1512.03385.
Where a stride of 2 meets an even side, Keras pads below and to the right, PyTorch all around.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from app.detection.architectures import register
from app.detection.architectures.heads import DenseHead, DenseHeadDetector
from app.detection.architectures.keras_defaults import batch_norm, initialise_as_keras


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a 1×1 one.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        stride: 2 halves the resolution.
    """

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(before, after, kernel_size=3, stride=stride),
            nn.ReLU(),
            *_convolution(after, after, kernel_size=3),
        )
        self.shortcut = nn.Sequential(*_convolution(before, after, kernel_size=1, stride=stride))

    def forward(self, features: Tensor) -> Tensor:
        """Return features ``[B, after, h / stride, w / stride]``."""
        return functional.relu(self.body(features) + self.shortcut(features))


@register("document_resnet")
def document_resnet(
    *,
    blocks: Sequence[int] = (3, 4, 6, 3),
    hidden: int = 512,
    dropout_before: float = 0.6,
    dropout: float = 0.7,
) -> DenseHeadDetector:
    """Build the document's residual network: average, dropout, dense, dropout, softmax.

    The defaults are variant 1; variant 2 has a dropout of 0.5 after the dense layer.
    """
    stem = [*_convolution(3, 64, kernel_size=7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    body: list[nn.Module] = []
    before = 64
    for stage, count in enumerate(blocks):
        after = 64 * 2**stage
        for block in range(count):
            # The source halves the resolution at the first stage too.
            body.append(ResidualBlock(before, after, stride=2 if block == 0 else 1))
            before = after
    head = DenseHead(hidden=hidden, dropout=dropout, dropout_before=dropout_before, outputs=2)
    return DenseHeadDetector(nn.Sequential(*stem, *body), head, flatten_for=None)


def _convolution(
    before: int, after: int, *, kernel_size: int, stride: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution and its batch norm, which makes the convolution's bias superfluous."""
    layer = nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2, bias=False)
    initialise_as_keras(layer)
    return layer, batch_norm(after)
