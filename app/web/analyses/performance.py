"""How good a detector is, from its card, in numbers that a clinician can use."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.detection.card import Card, Estimate
from app.detection.labels import Verdict
from app.detection.titles import heading_of_data, title_of_data
from app.web.analyses.score_drawing import Dots, dots
from app.web.wording import of_hundred, scans_behind, whole_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something happens in a hundred scans.

    Attributes:
        count: Such as ``about 4``.
        sentence: What happens to so many, such as ``of 100 fakes are called authentic``.
        interval: Such as ``95 % interval 2 to 8``; empty where none was measured.
        scans: On how many it stands, such as ``151 scans of 146 patients``; empty where unsaid.
        dots: A drawing of a hundred scans.
    """

    count: str
    sentence: str
    interval: str
    scans: str
    dots: Dots


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
    estimate: Estimate


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
    "accuracy": "Accuracy, every score counted",
    "precision_fake": "Precision for fakes",
    "precision_real": "Precision for authentic scans",
    "recall_fake": "Recall of fakes",
    "recall_real": "Recall of authentic scans",
    "f1_fake": "F1 for fakes",
    "f1_real": "F1 for authentic scans",
    "detection_at_1_percent_false_alarms": "Fakes found at 1 % false alarms",
    "pointing_called_fake": "Edits called fake whose heatmap peaks at the edit",
    "pointing_inconclusive": "Inconclusive edits whose heatmap peaks at the edit",
    "robustness_worst_fall": "Greatest loss of balanced accuracy by an everyday change to a file",
}
NAMES_BY_KIND = {
    "false_alarm_rate_": "Authentic scans called fake",
    "pointing_game_": "Edits in which the heatmap peaks",
    "patch_auc_": "Edited patches with more evidence than others of the same scan",
}
"""Figures that are measured on one kind of scan, by the beginning of their names."""
POINTING = {
    Verdict.FAKE: ("pointing_called_fake", "edited scans that were called fake"),
    Verdict.INCONCLUSIVE: ("pointing_inconclusive", "edited scans that stayed inconclusive"),
}
"""The figure that says how far to trust a heatmap, and what it is of, by verdict."""
BELIEVED = 0.5  # of the heatmaps: fewer that show the edit mislead more often than they lead


def rates_of(card: Card) -> list[Rate]:
    """Return what the operating point means: false alarms, misses and scans without a verdict."""
    metrics, coverage = card.metrics, card.metrics.get("coverage")
    found = [
        _rate(metrics.get("false_alarm_rate"), "of 100 authentic scans are called fake"),
        _rate(metrics.get("miss_rate"), "of 100 fakes are called authentic"),
        _rate(coverage and coverage.complement(), "of 100 scans stay inconclusive"),
    ]
    return [rate for rate in found if rate]


def in_short(card: Card) -> str:
    """Say in one sentence how often a detector errs and how often it gives no verdict."""
    sentences = [f"{rate.count} {rate.sentence}" for rate in rates_of(card)]
    if not sentences:
        return ""
    return f"On scans that it had never seen, {_listed(sentences)}."


def trust_in_heatmap(card: Card, verdict: Verdict) -> str:
    """Say how often the heatmap showed the edit where this was the verdict; empty if unmeasured."""
    if verdict not in POINTING:
        return ""
    metric, scans = POINTING[verdict]
    share = card.metrics.get(metric)
    if share is None or share.value is None:
        return ""
    advice = " So do not take it for a finding." if share.value < BELIEVED else ""
    return (
        f"In {of_hundred(share.value)} of 100 tests with {scans} the strongest colour lay on the "
        f"edit.{advice}"
    )


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def figures_of(card: Card) -> list[Figure]:
    """Return every figure on the card, those with a plain name first."""
    order = list(NAMES)
    names = sorted(card.metrics, key=lambda n: order.index(n) if n in NAMES else len(order))
    return [_figure(_name_of(figure), card.metrics[figure]) for figure in names]


def _name_of(figure: str) -> str:
    for beginning, name in NAMES_BY_KIND.items():
        if figure.startswith(beginning):
            return f"{name}: {title_of_data(figure.removeprefix(beginning))}"
    return NAMES.get(figure, figure.replace("_", " ").capitalize())


def figures_by_generator(card: Card) -> list[Figure]:
    """Return how well each generator's fakes are told from authentic scans."""
    return plain_figures(card.metrics_by_generator)


def plain_figures(estimates: Mapping[str, Estimate]) -> list[Figure]:
    """Return figures of kinds of scan under their titles, in the order of the card."""
    return [_figure(heading_of_data(name), estimate) for name, estimate in estimates.items()]


def _rate(estimate: Estimate | None, sentence: str) -> Rate | None:
    if estimate is None or estimate.value is None:
        return None
    interval = whole_interval(estimate)
    return Rate(
        count=of_hundred(estimate.value),
        sentence=sentence,
        interval=f"95 % interval {interval}" if interval else "",
        scans=scans_behind(estimate),
        dots=dots(estimate.value),
    )


def _figure(name: str, estimate: Estimate) -> Figure:
    has_interval = estimate.low is not None and estimate.high is not None
    return Figure(
        name=name,
        value="not measured" if estimate.value is None else f"{estimate.value:.3f}",
        interval=f"{estimate.low:.3f} to {estimate.high:.3f}" if has_interval else "",
        note=estimate.note,
        estimate=estimate,
    )
