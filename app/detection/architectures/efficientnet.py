"""EfficientNet-B4, the network that the product's source document names.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946. Trunk from the package efficientnet-pytorch (Apache-2.0).
"""

from typing import Self

import torch
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import Conv2dStaticSamePadding
from torch import Tensor, nn
from torch.nn import functional

from app.detection.architectures import register
from app.detection.architectures.base import Detector

STRIDE = 32
STEM = "_conv_stem"
BATCH_NORM_MOMENTUM = 0.95  # as the package counts: share of the old statistics that is kept
FINE_CHANNELS = 160
DEEP_CHANNELS = 1792


class DepthwiseConv2d(nn.Conv2d):
    """The package's depthwise convolution: in single precision the same, in less time on a CPU.

    The package pads in a step of its own, which keeps a CPU from its fast kernels where the stride
    is 1, and a CPU's kernels for gradients in bfloat16 are slow for depthwise convolutions. So this
    one pads by itself there, and computes in single precision where a CPU would take bfloat16.
    """

    before: nn.Module

    @classmethod
    def like(cls, other: Conv2dStaticSamePadding) -> Self:
        """Return one with the same parameter, under the same name."""
        sides = other.kernel_size
        padded = tuple(other.stride) == (1, 1)
        made = cls(
            other.in_channels,
            other.out_channels,
            sides,
            stride=tuple(other.stride),
            padding=(sides[0] // 2, sides[1] // 2) if padded else 0,
            groups=other.groups,
            bias=False,
            device="meta",  # its parameter is the other's
        )
        made.weight = other.weight
        made.before = nn.Identity() if padded else other.static_padding
        return made

    def forward(self, features: Tensor) -> Tensor:
        """Return features, shape ``[B, C, H / stride, W / stride]``."""
        padded = self.before(features)
        if not (padded.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return super().forward(padded)
        with torch.autocast("cpu", enabled=False):
            return super().forward(padded.float())


class EfficientNetB4(Detector):
    """EfficientNet-B4 with a linear head on two scales.

    The head reads the last features at stride 16 and those at stride 32, so an edit of a few
    millimetres still has cells of its own. It is linear, so the evidence decomposes the logit
    (raised to ``background_level``, by as much in each cell).

    Args:
        image_size: Side of the input, in pixels; a multiple of 32. The package fixes its padding
            for this size; among multiples of 32 the padding is the same, so a network may be
            trained on crops and serve whole scans.
        dropout: Share of features that are zeroed in training, in [0, 1).
        sharpness: Of the pooling, see ``Detector``.
        background_level: See ``Detector``.
        mirrored: See ``Detector``.
        stem_stride: 2 as in the paper; with 1 nothing is halved before the first blocks, which see
            the grain of single pixels, and cells are half as wide, for four times the computation.
            The parameters are the same (Gragnaniello et al., "Are GAN Generated Images Easy to
            Detect? A Critical Analysis of the State-of-the-Art", ICME 2021,
            https://arxiv.org/abs/2104.02617).
    """

    def __init__(
        self,
        *,
        image_size: int,
        dropout: float,
        sharpness: float,
        background_level: float | None = None,
        mirrored: bool = False,
        stem_stride: int = 2,
    ) -> None:
        super().__init__(sharpness=sharpness, background_level=background_level, mirrored=mirrored)
        if image_size <= 0 or image_size % STRIDE:
            raise ValueError(f"image_size must be a multiple of {STRIDE}, got {image_size}")
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride must be 1 or 2, got {stem_stride}")
        self.trunk = EfficientNet.from_name(
            "efficientnet-b4",
            image_size=image_size,
            include_top=False,
            batch_norm_momentum=BATCH_NORM_MOMENTUM,
        )
        if stem_stride == 1:
            stem = getattr(self.trunk, STEM)
            self.trunk.set_submodule(STEM, _unstrided(stem))
        # The memory-efficient activation computes everything twice: a third more time.
        self.trunk.set_swish(memory_efficient=False)
        for name, module in list(self.trunk.named_modules()):
            if name.endswith("_depthwise_conv"):
                self.trunk.set_submodule(name, DepthwiseConv2d.like(module))
        self.dropout = nn.Dropout2d(dropout)
        self.fine_head = nn.Conv2d(FINE_CHANNELS, 1, kernel_size=1, bias=False)
        self.deep_head = nn.Conv2d(DEEP_CHANNELS, 1, kernel_size=1)

    def evidence(self, images: Tensor) -> Tensor:
        """Return logits of cells as wide as 8 strides of the stem, shape ``[B, h, w]``."""
        endpoints = self.trunk.extract_endpoints(images)
        fine, deep = endpoints["reduction_4"], endpoints["reduction_6"]
        cells: Tensor = self.fine_head(self.dropout(fine))
        deep_cells = self.deep_head(self.dropout(deep))
        cells = cells + functional.interpolate(
            deep_cells, size=cells.shape[-2:], mode="bilinear", align_corners=False
        )
        return torch.squeeze(cells, 1)


def _unstrided(stem: Conv2dStaticSamePadding) -> nn.Conv2d:
    """Return the stem's convolution, with its parameter, applied at every pixel."""
    made = nn.Conv2d(
        stem.in_channels, stem.out_channels, stem.kernel_size, padding=1, bias=False, device="meta"
    )
    made.weight = stem.weight
    return made


@register("efficientnet_b4")
def efficientnet_b4(
    *,
    image_size: int,
    dropout: float = 0.2,
    sharpness: float = 0.0,
    background_level: float | None = None,
    mirrored: bool = False,
    stem_stride: int = 2,
) -> EfficientNetB4:
    """Build EfficientNet-B4 (17.6 million parameters with this head)."""
    return EfficientNetB4(
        image_size=image_size,
        dropout=dropout,
        sharpness=sharpness,
        background_level=background_level,
        mirrored=mirrored,
        stem_stride=stem_stride,
    )
