"""A linear classifier on fixed features, and the network that it becomes.

Logistic regression (Cox 1958) from scikit-learn. With a linear head on averaged features the gate
is nothing but a network of the zoo, so it is built, stored and loaded as the detectors are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from app.detection.architectures.heads import LinearHeadDetector
from training.gate.collection import Features

INVERSE_PENALTY = 0.003
MAX_ITERATIONS = 200
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A linear function of the features, positive towards other kinds of image.

    Attributes:
        weights: float64, shape ``[C]``.
        bias: At features that are all 0.
        standard_weights: The same for features of mean 0 and deviation 1, to begin the next fit at.
    """

    weights: NDArray[np.float64]
    bias: float
    standard_weights: NDArray[np.float64]

    def logits(self, features: Features) -> NDArray[np.float64]:
        """Return the logits ``[N]`` of features ``[N, C]``."""
        logits: NDArray[np.float64] = features @ self.weights + self.bias
        return logits


def fit_line(features: Features, is_foreign: NDArray[np.bool_], start: Line | None = None) -> Line:
    """Fit logistic regression, both classes weighing the same.

    Args:
        features: Shape ``[N, C]``.
        is_foreign: Shape ``[N]``.
        start: A line fitted to nearly the same, which saves most of the work.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    model = LogisticRegression(
        C=INVERSE_PENALTY,
        class_weight="balanced",
        max_iter=MAX_ITERATIONS,
        tol=TOLERANCE,
        warm_start=True,
    )
    if start is not None:
        model.classes_ = np.array([False, True])
        model.coef_ = start.standard_weights[None, :-1].copy()
        model.intercept_ = start.standard_weights[-1:].copy()
    model.fit((features - mean) / deviation, is_foreign)
    weights = model.coef_[0].astype(np.float64) / deviation
    return Line(
        weights=weights,
        bias=float(model.intercept_[0] - weights @ mean),
        standard_weights=np.append(model.coef_[0], model.intercept_),
    )


def set_head(network: LinearHeadDetector, line: Line) -> None:
    """Make a line the head of the network whose features it was fitted to."""
    with torch.no_grad():
        network.output.weight.copy_(torch.from_numpy(line.weights).view_as(network.output.weight))
        if network.output.bias is None:
            raise ValueError("the head has no bias")
        network.output.bias.fill_(line.bias)


def rounded(network: LinearHeadDetector) -> None:
    """Round all weights to what float16 holds, as they will be published."""
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
