"""A plain convolutional network: small enough for a test, honest enough for a baseline.

After the custom CNNs of "Detection of deepfake lung CT scans" (conv 3×3, batch norm, max pool a
stage), with a linear head per cell in place of the dense layers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.detection.architectures import register
from app.detection.architectures.base import Detector


class PlainCNN(Detector):
    """Convolution, batch norm, ReLU and max pool a stage, then a linear head.

    Args:
        widths: Channels of each stage; each halves the resolution.
        sharpness: Of the pooling, see ``Detector``.
    """

    def __init__(self, *, widths: Sequence[int], sharpness: float) -> None:
        super().__init__(sharpness=sharpness)
        if not widths or min(widths) < 1:
            raise ValueError(f"widths must be positive numbers of channels, got {list(widths)}")
        stages: list[nn.Module] = []
        channels = 3
        for width in widths:
            stages += [
                nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = width
        self.trunk = nn.Sequential(*stages)
        self.head = nn.Conv2d(channels, 1, kernel_size=1)

    def evidence(self, images: Tensor) -> Tensor:
        """Return logits of the cells, shape ``[B, S / 2**stages, S / 2**stages]``."""
        return torch.squeeze(self.head(self.trunk(images)), 1)


@register("plain_cnn")
def plain_cnn(*, widths: Sequence[int] = (64, 128, 256, 512), sharpness: float = 0.0) -> PlainCNN:
    """Build a plain CNN; the default widths are the document's first one."""
    return PlainCNN(widths=widths, sharpness=sharpness)
