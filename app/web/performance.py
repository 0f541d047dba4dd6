"""How good a detector is, from its card, in numbers that a clinician can use."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.detection.card import Card, Estimate
from app.web.wording import of_hundred


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something happens in a hundred scans.

    Attributes:
        count: Such as ``about 4``.
        sentence: What happens to so many, such as ``of 100 fakes are called authentic``.
        interval: Such as ``95 % interval 2 to 8``; empty where none was measured.
    """

    count: str
    sentence: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure with its interval, in text.

    Attributes:
        value: Such as ``0.973``; ``not measured`` where it is undefined.
        interval: Such as ``0.94 to 0.99``; empty where there is none.
    """

    name: str
    value: str
    interval: str
    note: str


NAMES = {
    "auc": "Area under the ROC curve",
    "balanced_accuracy": "Balanced accuracy",
    "false_alarm_rate": "Authentic scans called fake",
    "miss_rate": "Fakes called authentic",
    "coverage": "Scans that get a verdict",
    "selective_accuracy": "Accuracy where it gives a verdict",
    "ece": "Expected calibration error",
    "ece_balanced": "Expected calibration error, classes weighing alike",
    "pr_auc": "Area under the precision–recall curve",
    "mean_average_precision": "Mean average precision",
    "detection_at_1_percent_false_alarms": "Fakes found at 1 % false alarms",
}


def rates_of(card: Card) -> list[Rate]:
    """Return what the operating point means: false alarms, misses and scans without a verdict."""
    metrics = card.metrics
    found = [
        _rate(metrics.get("false_alarm_rate"), "of 100 authentic scans are called fake"),
        _rate(metrics.get("miss_rate"), "of 100 fakes are called authentic"),
        _rate(_complement(metrics.get("coverage")), "of 100 scans stay inconclusive"),
    ]
    return [rate for rate in found if rate]


def figures_of(card: Card) -> list[Figure]:
    """Return every figure on the card, those with a plain name first."""
    order = list(NAMES)
    names = sorted(card.metrics, key=lambda n: order.index(n) if n in NAMES else len(order))
    return [_figure(NAMES.get(name, name.replace("_", " ")), card.metrics[name]) for name in names]


def figures_by_generator(card: Card) -> list[Figure]:
    """Return how well each generator's fakes are told from authentic scans."""
    return plain_figures(card.metrics_by_generator)


def plain_figures(estimates: Mapping[str, Estimate]) -> list[Figure]:
    """Return figures under their own names, in the order of the card."""
    return [_figure(name.replace("_", " "), estimate) for name, estimate in estimates.items()]


def _rate(estimate: Estimate | None, sentence: str) -> Rate | None:
    if estimate is None or estimate.value is None:
        return None
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        # Rounded outwards, so that the interval never promises more than was measured.
        low, high = math.floor(estimate.low * 100 + 1e-9), math.ceil(estimate.high * 100 - 1e-9)
        interval = f"95 % interval {low} to {high}"
    return Rate(count=of_hundred(estimate.value), sentence=sentence, interval=interval)


def _complement(estimate: Estimate | None) -> Estimate | None:
    if estimate is None or estimate.value is None:
        return None
    return Estimate(
        value=1 - estimate.value,
        low=None if estimate.high is None else 1 - estimate.high,
        high=None if estimate.low is None else 1 - estimate.low,
    )


def _figure(name: str, estimate: Estimate) -> Figure:
    has_interval = estimate.low is not None and estimate.high is not None
    return Figure(
        name=name,
        value="not measured" if estimate.value is None else f"{estimate.value:.3f}",
        interval=f"{estimate.low:.3f} to {estimate.high:.3f}" if has_interval else "",
        note=estimate.note,
    )
