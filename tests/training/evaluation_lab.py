"""Makes what the tests of evaluation share: a detector of brightness, rows of predictions."""

from typing import Any

import torch
from torch import Tensor

from app.detection.architectures import Detector
from app.detection.weights import LoadedDetector
from tests.factories import make_card
from training.evaluation.prediction_file import Prediction

CARD = make_card()
"""Threshold 0.5, inconclusive from 0.3 to 0.7."""


class Brightness(Detector):
    """Takes bright cells of 8 pixels for fake."""

    def __init__(self) -> None:
        super().__init__(sharpness=0.0)

    def evidence(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 8).mean(1)


DETECTOR = LoadedDetector(network=Brightness().eval(), card=CARD)


def a_row(number: int, probability: float, **changes: Any) -> Prediction:
    """Return what was said of an authentic scan; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "path": f"{number}.png",
        "label": "real",
        "source": "drawn",
        "generator": "",
        "person": f"drawn/{number}",
        "logit": 0.0,
        "probability": probability,
        "verdict": CARD.operating_point.verdict(probability).value,
        "peak_x": 1,
        "peak_y": 1,
        "peak_in_mask": "",
    }
    return Prediction(**(fields | changes))
