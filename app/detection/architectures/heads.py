"""Two heads that turn a trunk's features into evidence.

The evidence of both is exact: pooled, it is the logit. They differ in what a cell means. A linear
head judges each cell by itself (``cells_judge_alone``). A dense head judges the scan as a whole,
and a cell has its share of that judgement: what its features add to the logit, given which hidden
units the scan has switched on. A share is no verdict on its cell, so no loss may train it against
a mask.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.detection.architectures.base import Detector
from app.detection.architectures.keras_defaults import initialise_as_keras
from app.detection.architectures.trunks import feature_shape


class LinearHeadDetector(Detector):
    """A trunk and a linear head on each cell (class activation mapping).

    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
    https://arxiv.org/abs/1512.04150.

    Args:
        trunk: Turns images ``[B, 3, S, S]`` into features ``[B, C, h, w]``.
        dropout: Share of the channels that are zeroed in training, in [0, 1].
        sharpness: Of the pooling, see ``Detector``.
        outputs: See ``margin``.
    """

    cells_judge_alone = True

    def __init__(
        self, trunk: nn.Module, *, dropout: float = 0.0, sharpness: float = 0.0, outputs: int = 1
    ) -> None:
        super().__init__(sharpness=sharpness)
        self.trunk = trunk
        # Of whole channels: after averaging the same as dropout of the averages.
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(feature_shape(trunk)[0], _checked(outputs), kernel_size=1)

    def evidence(self, images: Tensor) -> Tensor:
        """Return the cells' own logits, shape ``[B, h, w]``."""
        scores = self.output(self.dropout(self.trunk(images)))
        return margin(scores.movedim(1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseHead:
    """The layers after the trunk: read, dropout, dense, ReLU, dropout, output.

    Attributes:
        hidden: Units of the dense layer.
        dropout: After the dense layer: share of the units that are zeroed in training, in [0, 1].
        dropout_before: The same for the features that the dense layer reads.
        outputs: See ``margin``.
    """

    hidden: int = 256
    dropout: float = 0.5
    dropout_before: float = 0.0
    outputs: int = 1

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be 1 or greater, got {self.hidden}")


class DenseHeadDetector(Detector):
    """A trunk and a dense head, which reads the features flattened or averaged.

    Once it is known which hidden units a scan switches on, the head is linear in the features, so
    its logit is a sum over the cells: of the features, each times the slope of the logit. That is
    layer-wise relevance propagation by its basic rule (Bach et al., PLOS ONE 2015,
    https://doi.org/10.1371/journal.pone.0130140), with the biases spread evenly. Since which units
    are on depends on the whole scan, so does each cell. There is no pooling to choose.

    Args:
        trunk: Turns images ``[B, 3, S, S]`` into features ``[B, C, h, w]``.
        head: Its layers.
        flatten_for: Side in pixels of the only images that a head on flattened features can read;
            None reads the features' averages instead, at any size.
    """

    cells_judge_alone = False

    def __init__(self, trunk: nn.Module, head: DenseHead, *, flatten_for: int | None) -> None:
        super().__init__(sharpness=0.0)
        self.trunk = trunk
        self.flatten_for = flatten_for
        channels, rows, columns = feature_shape(trunk, flatten_for)
        # On maps, dropout of whole channels: after averaging the same as dropout of the averages.
        self.dropout_before = (nn.Dropout2d if flatten_for is None else nn.Dropout)(
            head.dropout_before
        )
        inputs = channels if flatten_for is None else channels * rows * columns
        self.dense = nn.Linear(inputs, head.hidden)
        self.dropout = nn.Dropout(head.dropout)
        self.output = nn.Linear(head.hidden, _checked(head.outputs))
        initialise_as_keras(self.dense)
        initialise_as_keras(self.output)

    def evidence(self, images: Tensor) -> Tensor:
        """Return each cell's share of the logit, shape ``[B, h, w]``; their mean is the logit."""
        features = self.trunk(images)
        # Shares are large and cancel each other out; half precision would lose their sum.
        with torch.autocast(features.device.type, enabled=False):
            return self._shares(self.dropout_before(features.float()))

    def _shares(self, features: Tensor) -> Tensor:
        read = features.mean((2, 3), keepdim=True) if self.flatten_for is None else features
        if read[0].numel() != self.dense.in_features:
            raise ValueError(
                f"this network reads images of {self.flatten_for} pixels; these gave a map of "
                f"{features.shape[-2]} by {features.shape[-1]} features"
            )
        gates = self.dropout((self.dense(read.flatten(1)) > 0).float())
        routes = gates * margin(self.output.weight)
        slopes = (routes @ self.dense.weight).view_as(read)
        shares = (slopes * features).sum(1)
        constant = routes @ self.dense.bias + margin(self.output.bias)
        cells = 1 if self.flatten_for is None else shares[0].numel()
        evidence: Tensor = cells * shares + constant[:, None, None]
        return evidence


def margin(scores: Tensor) -> Tensor:
    """Return the logit of scores ``[1, ...]`` (sigmoid) or ``[2, ...]`` (softmax over REAL, FAKE).

    A softmax over two classes is the sigmoid of their difference, so its categorical cross-entropy
    is the binary one of the logit.
    """
    return scores[0] if len(scores) == 1 else scores[1] - scores[0]


def _checked(outputs: int) -> int:
    if outputs not in (1, 2):
        raise ValueError(f"outputs must be 1 (sigmoid) or 2 (softmax), got {outputs}")
    return outputs
