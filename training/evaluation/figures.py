"""The figures of a report, drawn from predictions, tables and the history of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from app.detection.card import Estimate
from app.detection.labels import Label, Verdict
from training.evaluation.metrics import CALIBRATION_BINS, FALSE_ALARMS, Predictions
from training.html import ACCENT, FAKE, INK, LINE, REAL, SOFT, UNSURE, figure_svg, new_figure

VERDICT_NAMES = {"real": "authentic", "inconclusive": "inconclusive", "fake": "fake"}
ROW_HEIGHT_INCHES = 0.34

Row = Mapping[str, Any]


def confusion(counts: Mapping[str, int]) -> Markup:
    """Draw what was said of authentic scans and of fakes, as shares of each."""
    figure, axes = new_figure(height=2.5)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, label in enumerate(("real", "fake")):
        found = [counts.get(f"{label} called {verdict}", 0) for verdict in VERDICT_NAMES]
        for column, (verdict, count) in enumerate(zip(VERDICT_NAMES, found, strict=True)):
            share = count / sum(found) if sum(found) else 0.0
            colour = UNSURE if verdict == "inconclusive" else REAL if verdict == label else FAKE
            cell = Rectangle((column, row), 0.96, 0.92, facecolor=colour, alpha=0.06 + 0.44 * share)
            axes.add_patch(cell)
            middle: dict[str, Any] = {"ha": "center", "va": "center", "color": INK}
            axes.text(column + 0.48, row + 0.38, f"{count}", fontsize=15, weight="bold", **middle)
            axes.text(column + 0.48, row + 0.66, f"{share:.1%}", fontsize=9, **middle)
    axes.set(xlim=(0, 3), ylim=(2, 0), xticks=[0.48, 1.48, 2.48], yticks=[0.46, 1.46])
    axes.set_xticklabels([f"called {name}" for name in VERDICT_NAMES.values()])
    axes.set_yticklabels(["authentic", "fake"])
    axes.tick_params(length=0)
    return figure_svg(figure, "Confusion matrix: authentic scans and fakes by verdict")


def roc(p: Predictions) -> Markup | None:
    """Draw the ROC curve with the operating point; None with one class only."""
    if not _has_both(p):
        return None
    false_alarms, recall, _ = sk.roc_curve(p.labels, p.probabilities)
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    axes.axvline(FALSE_ALARMS, color=UNSURE, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate("1 % false alarms", (FALSE_ALARMS + 0.015, 0.04), color=UNSURE, fontsize=9)
    axes.plot(false_alarms, recall, color=ACCENT, linewidth=2)
    called = p.probabilities >= p.threshold
    point = (called[p.labels == Label.REAL].mean(), called[p.labels == Label.FAKE].mean())
    axes.plot(*point, "o", color=FAKE, markersize=7, clip_on=False)
    axes.annotate(
        "threshold", point, xytext=(10, -12), textcoords="offset points", color=FAKE, fontsize=9
    )
    axes.set(xlabel="authentic scans taken for fake", ylabel="fakes found")
    _unit_square(axes)
    return figure_svg(figure, "ROC curve")


def precision_recall(p: Predictions) -> Markup | None:
    """Draw precision against recall of FAKE; None with one class only."""
    if not _has_both(p):
        return None
    precision, recall, _ = sk.precision_recall_curve(p.labels, p.probabilities)
    figure, axes = new_figure()
    axes.axhline((p.labels == Label.FAKE).mean(), color=LINE, linewidth=1)
    axes.step(recall, precision, where="post", color=ACCENT, linewidth=2)
    axes.set(xlabel="fakes found (recall)", ylabel="fakes among those called fake (precision)")
    _unit_square(axes)
    return figure_svg(figure, "Precision and recall")


def reliability(p: Predictions) -> Markup | None:
    """Draw how often a scan is a fake against how probable that was said to be."""
    if not len(p.labels):
        return None
    bins = np.minimum((p.probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
    for number in np.unique(bins):
        inside = bins == number
        fakes, scans = int(p.labels[inside].sum()), int(inside.sum())
        interval = stats.binomtest(fakes, scans).proportion_ci(0.95, method="wilson")
        said, found = p.probabilities[inside].mean(), fakes / scans
        axes.plot([said, said], [interval.low, interval.high], color=ACCENT, linewidth=1.2)
        size = 25 + 220 * np.sqrt(scans / len(p.labels))
        axes.scatter([said], [found], s=size, color=ACCENT, alpha=0.75, linewidths=0, clip_on=False)
    axes.set(xlabel="probability that was given", ylabel="share that are fakes")
    _unit_square(axes)
    return figure_svg(figure, "Reliability diagram")


def scores(p: Predictions, band: tuple[float, float]) -> Markup | None:
    """Draw how the probabilities of authentic scans and of fakes are spread."""
    if not len(p.labels):
        return None
    figure, axes = new_figure()
    axes.axvspan(*band, color=UNSURE, alpha=0.12, linewidth=0)
    edges = np.linspace(0, 1, 26)
    for label, colour, name in ((Label.REAL, REAL, "authentic"), (Label.FAKE, FAKE, "fake")):
        own = p.probabilities[p.labels == label]
        if len(own):
            share = np.histogram(own, edges)[0] / len(own)
            axes.stairs(share, edges, color=colour, fill=True, alpha=0.3)
            axes.stairs(share, edges, color=colour, linewidth=1.6, label=name)
    axes.set(xlabel="probability of fake", ylabel="share of scans", xlim=(0, 1), ylim=(0, None))
    axes.legend(loc="upper center", frameon=False, labelcolor=INK)
    return figure_svg(figure, "Probabilities of authentic scans and of fakes")


def risk_coverage(p: Predictions) -> Markup | None:
    """Draw the error among the scans that are judged, the surest first."""
    if not len(p.labels):
        return None
    coverage, risk = risk_at_coverage(p)
    figure, axes = new_figure()
    axes.plot(coverage, risk, color=ACCENT, linewidth=2)
    decided = (p.verdicts == Verdict.REAL) | (p.verdicts == Verdict.FAKE)
    if decided.any():
        wrong = (p.verdicts == Verdict.FAKE) != (p.labels == Label.FAKE)
        axes.plot(
            decided.mean(), wrong[decided].mean(), "o", color=FAKE, markersize=7, clip_on=False
        )
    axes.set(xlabel="share of scans that get a verdict", ylabel="share of wrong verdicts")
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.15 * float(risk.max()))))
    return figure_svg(figure, "Risk and coverage")


def risk_at_coverage(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the error among the surest scans, for every number of them (El-Yaniv and Wiener 2010).

    A scan is the surer the further its probability lies from the threshold, as a share of the way
    to certainty on its side.

    Returns:
        Share of scans that get a verdict, and share of wrong ones among these, each ``[N]``.
    """
    below, above = max(p.threshold, 1e-9), max(1 - p.threshold, 1e-9)
    distance = p.probabilities - p.threshold
    order = np.argsort(-np.where(distance < 0, -distance / below, distance / above), kind="stable")
    wrong = ((distance >= 0) != (p.labels == Label.FAKE))[order]
    count = np.arange(1, len(order) + 1)
    return count / len(order), np.cumsum(wrong) / count


def forest(figures: Mapping[str, Estimate], description: str, label: str) -> Markup | None:
    """Draw figures below each other with their intervals, from 0 to 1; None without any."""
    known = {name: f for name, f in figures.items() if f.value is not None}
    if not known:
        return None
    figure, axes = new_figure(height=0.9 + ROW_HEIGHT_INCHES * len(known))
    _dots(axes, known)
    axes.set(xlabel=label, xlim=(-0.01, 1.01))
    return figure_svg(figure, description)


def falls(variations: Mapping[str, Mapping[str, Estimate]], limit: float) -> Markup | None:
    """Draw the fall of balanced accuracy after each change, in points of a hundred."""
    known = {
        k: f["fall"] for k, f in variations.items() if "fall" in f and f["fall"].value is not None
    }
    if not known:
        return None
    figure, axes = new_figure(height=0.9 + ROW_HEIGHT_INCHES * len(known))
    axes.axvspan(-100, 100 * limit, color=REAL, alpha=0.08, linewidth=0)
    _dots(axes, known, scale=100)
    ends = [100 * v for f in known.values() for v in (f.value, f.low, f.high) if v is not None]
    axes.set_xlim(min(-3.0, min(ends) - 1), max(5.0, max(ends) + 1))
    axes.set_xlabel("points of balanced accuracy lost")
    return figure_svg(figure, "Fall of balanced accuracy after harmless changes")


def _dots(axes: Axes, figures: Mapping[str, Estimate], *, scale: float = 1) -> None:
    for row, f in enumerate(figures.values()):
        value = scale * (f.value or 0.0)
        if f.low is not None and f.high is not None:
            axes.plot([scale * f.low, scale * f.high], [row, row], color=SOFT, linewidth=1.6)
        axes.plot(value, row, "o", color=ACCENT, markersize=6, clip_on=False)
    axes.set_yticks(range(len(figures)), list(figures))
    axes.set_ylim(len(figures) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


LOSSES = {"loss": ("training", ACCENT), "validation_loss": ("validation", FAKE)}
SUCCESSES = {
    "accuracy": ("accuracy, training", ACCENT),
    "validation_accuracy": ("accuracy, validation", FAKE),
    "validation_auc": ("AUC, validation", UNSURE),
}


def history(rows: Sequence[Row], *, of_loss: bool) -> Markup | None:
    """Draw loss, or accuracy and AUC, over the epochs; None where the history has neither.

    Args:
        rows: One an epoch, over all phases; what a row lacks is left out.
        of_loss: Whether to draw the losses.
    """
    lines = {}
    for key, (name, colour) in (LOSSES if of_loss else SUCCESSES).items():
        known = [(n, row[key]) for n, row in enumerate(rows, start=1) if _is_number(row.get(key))]
        if known:
            lines[name] = (known, colour)
    if not lines:
        return None
    figure, axes = new_figure()
    for name, (known, colour) in lines.items():
        epochs, values = zip(*known, strict=True)
        axes.plot(epochs, values, "o-", color=colour, linewidth=1.8, markersize=3.5, label=name)
    starts = [n for n, row in enumerate(rows, start=1) if n > 1 and row.get("epoch") == 0]
    for start in starts:
        axes.axvline(start - 0.5, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
    axes.set(xlabel="epoch", ylabel="loss" if of_loss else "share or area")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best", frameon=False, labelcolor=INK)
    return figure_svg(figure, "Loss over the epochs" if of_loss else "Accuracy over the epochs")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _has_both(p: Predictions) -> bool:
    return len(np.unique(p.labels)) == 2


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
