"""The report as a page for people: what was measured, in words, figures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app.detection.card import Card, Estimate
from app.detection.spec import modality
from training.evaluation import figures
from training.evaluation.examples import Example
from training.evaluation.prediction_file import Prediction
from training.evaluation.report import Report, pooled, predictions_of_rows
from training.evaluation.summary import percent_of, summary, text_of
from training.html import write_page

TEMPLATE = Path(__file__).with_name("report.html")
MOST_LOST = 0.02
"""Balanced accuracy that harmless changes may cost."""

NAMES: Mapping[str, tuple[str, str]] = {
    "auc": ("AUC (ROC)", "chance that a fake scores above an authentic scan"),
    "pr_auc": ("AUC (precision–recall)", "average precision for fakes"),
    "mean_average_precision": ("mAP", "mean of the average precisions of both classes"),
    "accuracy": ("Accuracy", "scans on the right side of the threshold"),
    "balanced_accuracy": ("Balanced accuracy", "mean of both recalls"),
    "precision_fake": ("Precision, fake", "fakes among the scans taken for fake"),
    "precision_real": ("Precision, authentic", "authentic scans among those taken for authentic"),
    "recall_fake": ("Recall, fake", "fakes at or above the threshold"),
    "recall_real": ("Recall, authentic", "authentic scans below the threshold"),
    "f1_fake": ("F1, fake", "harmonic mean of precision and recall"),
    "f1_real": ("F1, authentic", "harmonic mean of precision and recall"),
    "detection_at_1_percent_false_alarms": (
        "Found at 1 % false alarms",
        "fakes above the score that 1 % of the authentic scans exceed",
    ),
    "ece": ("Calibration error", "gap between probability and frequency, each scan alike"),
    "ece_balanced": ("Calibration error, balanced", "the same, each class weighing one half"),
    "coverage": ("Coverage", "scans that are called authentic or fake"),
    "selective_accuracy": ("Selective accuracy", "right verdicts among the scans that get one"),
    "false_alarm_rate": ("False alarms", "authentic scans that are called fake"),
    "miss_rate": ("Missed", "fakes that are called authentic"),
    "pointing_game": ("Pointing game", "strongest evidence lies inside the edit"),
    "pointing_called_fake": ("Pointing, called fake", "the same of the edits that are called fake"),
    "pointing_inconclusive": ("Pointing, inconclusive", "the same of those that get no verdict"),
    "patch_auc": ("Patch AUC", "more evidence in the edited patch than in others of the same scan"),
    "iou": ("IoU", "overlap of heatmap and edit"),
    "fall": ("Balanced accuracy lost", "compared with the scans as they are"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure of the page with what it means."""

    title: str
    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure that stands at the top of the page."""

    name: str
    value: str
    meaning: str
    detail: str


def write_report_page(
    path: Path,
    report: Report,
    rows: Sequence[Prediction],
    card: Card,
    *,
    examples: Mapping[str, Sequence[Example]] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the report as one self-contained HTML file.

    Args:
        path: Of the file.
        report: The figures.
        rows: Of the prediction file, for the curves.
        card: Of the detector.
        examples: Hits and misses by kind.
        history: Epochs of the training run.
    """
    spec = modality(card.modality)
    counted = pooled(rows, report.set_apart)
    write_page(
        path,
        TEMPLATE,
        title=f"{spec.title}: {card.name}",
        noun=spec.noun,
        card=card,
        scans=len(rows),
        fakes=sum(row.label == "fake" for row in rows),
        patients=len({row.person for row in rows}),
        set_apart=len(rows) - len(counted),
        summary=summary(report),
        skipped_images=sum(not one.is_judged for one in report.skipped),
        skipped_edits=sum(one.is_judged for one in report.skipped),
        tiles=_tiles(report),
        report=report,
        names=NAMES,
        verdict_drawings=_of_verdicts(report, counted, card),
        curve_drawings=_of_curves(counted, card),
        weakness_drawings=_of_weaknesses(report),
        fall_drawing=_of_falls(report),
        history_drawings=_of_history(history),
        examples=examples or {},
    )


def _tiles(report: Report) -> list[Tile]:
    chosen = ("auc", "coverage", "selective_accuracy", "false_alarm_rate", "miss_rate")
    tiles = []
    for name in chosen:
        figure = report.metrics[name]
        shown = text_of if name == "auc" else percent_of
        interval = ""
        if figure.low is not None and figure.high is not None:
            low, high = (shown(Estimate(value=end)) for end in (figure.low, figure.high))
            interval = f"{low} to {high}"
        title, meaning = NAMES[name]
        tiles.append(
            Tile(name=title, value=shown(figure), meaning=meaning, detail=interval or figure.note)
        )
    return tiles


def _drawings(*candidates: tuple[str, Markup | None, str]) -> list[Drawing]:
    return [Drawing(title=t, svg=svg, caption=c) for t, svg, c in candidates if svg is not None]


def _of_verdicts(report: Report, rows: Sequence[Prediction], card: Card) -> list[Drawing]:
    p = predictions_of_rows(rows, card)
    low, high = card.operating_point.inconclusive_band
    return _drawings(
        (
            "Confusion matrix",
            figures.confusion(report.confusion),
            "What was said of authentic scans (above) and of fakes (below). Green is right, red "
            "wrong, amber undecided; the share is that of the row.",
        ),
        (
            "Probabilities",
            figures.scores(p, (low, high)),
            f"A good detector keeps the two hills apart. Between {low:.2f} and {high:.2f} (shaded) "
            "it says inconclusive.",
        ),
        (
            "Risk and coverage",
            figures.risk_coverage(p),
            "If only the surest verdicts were given (left), how many would be wrong? The dot is "
            "what the inconclusive band does.",
        ),
        (
            "Reliability",
            figures.reliability(p),
            "On the diagonal a probability means what it says: of the scans given 0.8, eight in "
            "ten are fakes. Dots are larger where there are more scans. The set's share of fakes "
            "moves the dots up or down.",
        ),
    )


def _of_curves(rows: Sequence[Prediction], card: Card) -> list[Drawing]:
    p = predictions_of_rows(rows, card)
    return _drawings(
        (
            "ROC curve",
            figures.roc(p),
            "Fakes found against authentic scans wrongly flagged, for every threshold. The dot is "
            "the threshold in use; the dashed line allows one false alarm in a hundred.",
        ),
        (
            "Precision and recall",
            figures.precision_recall(p),
            "How many of the flagged scans are fakes, as more of the fakes are found. The grey "
            "line is what guessing gives on this set.",
        ),
    )


def _of_weaknesses(report: Report) -> list[Drawing]:
    return _drawings(
        (
            "Fakes, by generator",
            figures.forest(report.auc_by_generator, "AUC by generator with 95 % intervals", "AUC"),
            "How well each generator's fakes are told from all authentic scans. 0.5 is guessing.",
        ),
        (
            "Authentic scans, by source",
            figures.forest(
                report.false_alarms_by_source,
                "False alarms by source with 95 % intervals",
                "share called fake",
            ),
            "How many authentic scans of each source are called fake. Every dot should be at 0.",
        ),
    )


def _of_falls(report: Report) -> list[Drawing]:
    if report.robustness is None:
        return []
    return _drawings(
        (
            "What harmless changes cost",
            figures.falls(report.robustness.variations, MOST_LOST),
            "Balanced accuracy lost, in points of a hundred, with the threshold left where it was. "
            f"The shaded side is at most {100 * MOST_LOST:.0f} points; left of 0 nothing is lost.",
        )
    )


def _of_history(history: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    return _drawings(
        (
            "Loss",
            figures.history(history, of_loss=True),
            "Falls while the network learns. Where validation rises and training falls, it learns "
            "by heart. Dashed lines part the phases.",
        ),
        (
            "Accuracy and AUC",
            figures.history(history, of_loss=False),
            "Of each phase the best epoch counts: that with the highest validation AUC or, where "
            "the system's config says so, the lowest validation loss. Where a phase ended with a "
            "mean of networks, the curves are those of the first.",
        ),
    )
