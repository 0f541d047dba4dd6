"""Patches of a scan as a bag, one of which suffices to make it a fake: for comparison.

Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018,
https://arxiv.org/abs/1802.04712, with gated attention. Written from the paper; the patches are
read by ResNet-18 from torchvision (BSD-3-Clause).
"""

import torch
from torch import Tensor, nn

from app.detection.architectures import register
from app.detection.architectures.base import Detector
from app.detection.architectures.resnet import resnet_trunk

EMBEDDING = 512
ATTENTION = 128


class PatchMIL(Detector):
    """Every patch by itself through a trunk; attention weighs them; a linear head.

    The scan's logit is the mean of the patches' logits, weighted by attention. A patch's evidence
    is its term of that sum, times the number of patches, so the plain mean of the evidence is the
    logit. Attention depends on all patches, and so does each one's evidence. There is no pooling
    to choose.

    Args:
        patch_size: Side of a patch, in pixels; images are a whole number of them wide.
        dropout: Share of a patch's features that are zeroed in training, in [0, 1].
    """

    cells_judge_alone = False

    def __init__(self, *, patch_size: int, dropout: float) -> None:
        super().__init__(sharpness=0.0)
        if patch_size < 1:
            raise ValueError(f"patch_size must be 1 or greater, got {patch_size}")
        self.patch_size = patch_size
        self.trunk = resnet_trunk("resnet18")
        self.dropout = nn.Dropout(dropout)
        self.content = nn.Sequential(nn.Linear(EMBEDDING, ATTENTION), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(EMBEDDING, ATTENTION), nn.Sigmoid())
        self.attention = nn.Linear(ATTENTION, 1, bias=False)
        self.output = nn.Linear(EMBEDDING, 1)

    def evidence(self, images: Tensor) -> Tensor:
        """Return each patch's share of the logit, shape ``[B, S / patch_size, S / patch_size]``."""
        patches = self.patches(images)
        count, rows, columns = patches.shape[:3]
        features = self.trunk(patches.flatten(0, 2)).mean((2, 3))
        features = self.dropout(features).view(count, rows * columns, EMBEDDING)
        scores = self.attention(self.content(features) * self.gate(features))
        attention = torch.softmax(scores, dim=1)
        shares: Tensor = rows * columns * attention * self.output(features)
        return shares.view(count, rows, columns)

    def patches(self, images: Tensor) -> Tensor:
        """Cut images ``[B, 3, S, S]`` into patches ``[B, rows, columns, 3, P, P]``."""
        side = self.patch_size
        if images.shape[-1] % side:
            raise ValueError(f"image_size must be a multiple of {side}, got {images.shape[-1]}")
        return images.unfold(2, side, side).unfold(3, side, side).movedim(1, 3)


@register("patch_mil")
def patch_mil(*, patch_size: int = 64, dropout: float = 0.25) -> PatchMIL:
    """Build a bag of patches with gated attention (11.3 million parameters)."""
    return PatchMIL(patch_size=patch_size, dropout=dropout)
