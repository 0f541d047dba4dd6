"""What tells a modality from other images by fixed features, and the network that it becomes.

Linear discriminant analysis with shrinkage (Fisher 1936; Friedman 1989), and beside it how far the
features lie from those of the modality, see ``Gatekeeper``. All of it is a few sums and one matrix,
so leaving a kind out and fitting again costs little.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from sklearn.linear_model import LogisticRegression
from torch import nn

from app.detection.architectures.gatekeeper import LEAST_SQUARE, Gatekeeper
from training.gate.collection import Features

SHRINKAGE = 0.3
"""Share of the covariance that the same spread along every direction takes, in [0, 1]."""
DIRECTIONS = 48
LEAST_DEVIATION = 1e-3
"""Of a feature; float16 holds no scale for one that is nearly the same in all images."""
LEAST_SPREAD = 0.05
"""What is added to the spread along each direction, in shares of their mean."""
DISTANCE_WEIGHT = 0.5
"""Of the distance beside the line, both in deviations of the scans."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A function of the features, positive towards other kinds of image; see ``Gatekeeper``.

    Attributes:
        weights: Of the line, shape ``[C]``.
        bias: Of the line.
        centre: Where the modality lies, shape ``[C]``.
        scale: What each feature is multiplied by, shape ``[C]``.
        directions: Shape ``[D, C]``.
        gain: What the logarithm of the squared distance is multiplied by.
    """

    weights: Values
    bias: float
    centre: Values
    scale: Values
    directions: Values
    gain: float

    def logits(self, features: Features) -> Values:
        """Return the logits ``[N]`` of features ``[N, C]``."""
        logits: Values = features @ self.weights + self.bias
        return logits + self.gain * self.log_squares(features)

    def log_squares(self, features: Features) -> Values:
        """Return the logarithms of the squared distances ``[N]`` of features ``[N, C]``."""
        away = (features - self.centre) * self.scale
        squares = (away**2).sum(1) - ((away @ self.directions.T) ** 2).sum(1)
        logs: Values = np.log(np.maximum(squares, LEAST_SQUARE))
        return logs


def fit_rule(features: Features, is_foreign: NDArray[np.bool_]) -> Rule:
    """Fit a rule, both classes weighing the same.

    Args:
        features: Shape ``[N, C]``.
        is_foreign: Shape ``[N]``; both kinds are there.
    """
    mean, deviation = features.mean(0), np.maximum(features.std(0), LEAST_DEVIATION)
    standard = (features - mean) / deviation
    right, foreign = standard[~is_foreign], standard[is_foreign]
    centre, spread = right.mean(0), _covariance(right)
    pooled = (spread + _covariance(foreign)) / 2
    even = np.eye(len(pooled)) * np.trace(pooled) / len(pooled)
    slope = np.linalg.solve((1 - SHRINKAGE) * pooled + SHRINKAGE * even, foreign.mean(0) - centre)
    rule = Rule(
        weights=slope / deviation,
        bias=float(-slope @ (mean / deviation)),
        centre=mean + centre * deviation,
        scale=1 / deviation,
        directions=_directions(spread),
        gain=0.0,
    )
    return _balanced(rule, features, is_foreign)


def _covariance(features: Features) -> Values:
    away = features - features.mean(0)
    return (away.T @ away).astype(np.float64) / len(away)


def _directions(spread: Values) -> Values:
    """Return the directions of the widest spread, each as long as what it takes off a distance."""
    channels = len(spread)
    count = min(DIRECTIONS, channels - 1)
    widest, vectors = linalg.eigh(spread, subset_by_index=(channels - count, channels - 1))
    rest = (np.trace(spread) - widest.sum()) / (channels - count)
    shares = 1 - rest / (widest + LEAST_SPREAD * widest.mean())
    directions: Values = (vectors * np.sqrt(np.maximum(shares, 0))).T
    return directions


def _balanced(rule: Rule, features: Features, is_foreign: NDArray[np.bool_]) -> Rule:
    """Weigh line and distance, and let a logit of 0 be as much of the one kind as the other."""
    lines, distances = rule.logits(features), rule.log_squares(features)
    line, gain = (part[~is_foreign].std() + 1e-6 for part in (lines, distances))
    line, gain = 1 / line, DISTANCE_WEIGHT / gain
    scores = line * lines + gain * distances
    model = LogisticRegression(class_weight="balanced").fit(scores[:, None], is_foreign)
    steepness, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Rule(
        weights=steepness * line * rule.weights,
        bias=steepness * line * rule.bias + offset,
        centre=rule.centre,
        scale=rule.scale,
        directions=rule.directions,
        gain=steepness * gain,
    )


def set_head(network: Gatekeeper, rule: Rule) -> None:
    """Make a rule the head of the network whose features it was fitted to."""
    with torch.no_grad():
        for parameter, values in (
            (network.line.weight, rule.weights[None]),
            (network.line.bias, np.array([rule.bias])),
            (network.centre, rule.centre),
            (network.scale, rule.scale),
            (network.directions.weight, rule.directions),
            (network.gain, np.array([rule.gain])),
        ):
            parameter.copy_(torch.from_numpy(values))


def rounded(network: nn.Module) -> None:
    """Round all weights to what float16 holds, as they will be published."""
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
