"""EfficientNet-B4, the network that the product's source document names.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946. Trunk from the package efficientnet-pytorch (Apache-2.0).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Self, cast

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
COARSE = "coarse"
RANK = 8
"""Of the change by which a second look's convolutions of one pixel differ from the first's."""


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


class AdaptedConv2d(nn.Module):
    """A convolution of one pixel that belongs to another network, with a change of low rank.

    The change is all that it keeps itself: ``weight + up @ down`` (LoRA: Hu et al., "LoRA: Low-Rank
    Adaptation of Large Language Models", ICLR 2022, https://arxiv.org/abs/2106.09685).

    Args:
        owned: The other's, with a kernel of 1 × 1.
        rank: Of the change, at most.
    """

    def __init__(self, owned: nn.Conv2d, rank: int) -> None:
        super().__init__()
        self._owned = (owned,)  # a tuple, which keeps it out of this module's own parameters
        outputs, inputs = owned.weight.shape[:2]
        rank = min(rank, outputs, inputs)
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.down = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.bias = None if owned.bias is None else nn.Parameter(owned.bias.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return features, shape ``[B, C, H, W]``."""
        weight = self._owned[0].weight + (self.up @ self.down)[:, :, None, None]
        return functional.conv2d(features, weight, self.bias)

    def nearest(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``up`` and ``down`` for a change of the weight, shape ``[outputs, inputs, 1, 1]``.

        Of all changes of this rank theirs is the nearest (Eckart and Young, Psychometrika 1936).
        """
        left, strength, right = torch.linalg.svd(change.flatten(1).double(), full_matrices=False)
        rank = len(self.down)
        return (left[:, :rank] * strength[:rank]).float(), right[:rank].float()


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
            https://arxiv.org/abs/2104.02617). With [1, 2] it looks both ways, and the logit is the
            mean of both: single pixels tell most of a scan as it is, and what JPEG or a smaller
            scale leaves is coarser. The cells' evidence is the mean as well, raised by as much in
            each as the logit asks. The second look has filters, batch norms and heads of its own,
            and of the first one's convolutions of one pixel, which are nineteen in twenty of the
            parameters, a change of low rank. That keeps the checkpoint small; the graph that
            serves holds both looks in full.
    """

    def __init__(
        self,
        *,
        image_size: int,
        dropout: float,
        sharpness: float,
        background_level: float | None = None,
        mirrored: bool = False,
        stem_stride: int | Sequence[int] = 2,
    ) -> None:
        super().__init__(sharpness=sharpness, background_level=background_level, mirrored=mirrored)
        if image_size <= 0 or image_size % STRIDE:
            raise ValueError(f"image_size must be a multiple of {STRIDE}, got {image_size}")
        strides = tuple(stem_stride) if isinstance(stem_stride, Sequence) else (stem_stride,)
        if strides not in ((1,), (2,), (1, 2)):
            raise ValueError(f"stem_stride must be 1, 2 or [1, 2], got {stem_stride}")
        self.trunk = EfficientNet.from_name(
            "efficientnet-b4",
            image_size=image_size,
            include_top=False,
            batch_norm_momentum=BATCH_NORM_MOMENTUM,
        )
        if strides[0] == 1:
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
        self.coarse: EfficientNetB4 | None = None
        if len(strides) > 1:
            self.coarse = EfficientNetB4(
                image_size=image_size, dropout=dropout, sharpness=sharpness
            )
            _adapt_pointwise(self.coarse.trunk, self.trunk)

    def grown_from(
        self, weights: Mapping[str, Tensor], second: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Let a new second look begin as another network, or with what the first has learned."""
        if self.coarse is None:
            return super().grown_from(weights, second)
        known = weights if second is None else second
        grown = dict(weights)
        for name, tensor in self.coarse.state_dict().items():
            if second is not None or f"{COARSE}.{name}" not in weights:
                grown[f"{COARSE}.{name}"] = known.get(name, tensor).clone()
        for name, module in self.coarse.named_modules() if second is not None else ():
            if isinstance(module, AdaptedConv2d):
                change = known[f"{name}.weight"] - weights[f"{name}.weight"]
                up, down = module.nearest(change)
                grown |= {f"{COARSE}.{name}.up": up, f"{COARSE}.{name}.down": down}
        return grown

    def evidence(self, images: Tensor) -> Tensor:
        """Return logits of cells as wide as 8 strides of the (first) stem, shape ``[B, h, w]``."""
        endpoints = self.trunk.extract_endpoints(images)
        fine, deep = endpoints["reduction_4"], endpoints["reduction_6"]
        cells: Tensor = self.fine_head(self.dropout(fine))
        cells = cells + _enlarged(self.deep_head(self.dropout(deep)), like=cells)
        if self.coarse is None:
            return torch.squeeze(cells, 1)
        coarse = torch.unsqueeze(self.coarse.evidence(images), 1)
        both = torch.squeeze(cells + _enlarged(coarse, like=cells), 1) / 2
        # What one look alone sees is half lost in the mean of the cells, not in that of the logits.
        logits = (self.pool(cells) + self.pool(coarse)) / 2
        return both + (logits - self.pool(both))[:, None, None]


def _enlarged(cells: Tensor, *, like: Tensor) -> Tensor:
    """Return cells ``[B, 1, h, w]`` interpolated to the size of others."""
    return functional.interpolate(cells, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _adapt_pointwise(borrower: EfficientNet, owner: EfficientNet) -> None:
    """Have a trunk adapt another's convolutions of one pixel in place of its own."""
    for name, module in list(borrower.named_modules()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            owned = cast(nn.Conv2d, owner.get_submodule(name))
            borrower.set_submodule(name, AdaptedConv2d(owned, RANK))


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
    stem_stride: int | Sequence[int] = 2,
) -> EfficientNetB4:
    """Build EfficientNet-B4 (17.6 million parameters with this head, 19.5 with two looks)."""
    return EfficientNetB4(
        image_size=image_size,
        dropout=dropout,
        sharpness=sharpness,
        background_level=background_level,
        mirrored=mirrored,
        stem_stride=stem_stride,
    )
