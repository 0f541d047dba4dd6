"""From the prediction file to ``metrics.json``: every figure, with its interval."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.detection.card import Card, Estimate
from app.detection.labels import Verdict
from training.data.manifest import LABELS
from training.evaluation.intervals import estimate, estimate_mean, estimates
from training.evaluation.metrics import (
    METRICS,
    Metric,
    Predictions,
    auc,
    coverage,
    detection_at_1_percent_false_alarms,
    false_alarm_rate,
    miss_rate,
    recall_fake,
    recall_real,
)
from training.evaluation.predict import Skipped
from training.evaluation.prediction_file import Prediction

Table = Mapping[str, Mapping[str, Estimate]]
"""Figures by row and name."""

AGAINST_REALS: Mapping[str, Metric] = {
    "auc": auc,
    "detection_at_1_percent_false_alarms": detection_at_1_percent_false_alarms,
}
OF_FAKES: Mapping[str, Metric] = {
    "recall_fake": recall_fake,
    "miss_rate": miss_rate,
    "coverage": coverage,
}
OF_REALS: Mapping[str, Metric] = {
    "false_alarm_rate": false_alarm_rate,
    "recall_real": recall_real,
    "coverage": coverage,
}

EDIT_SHARES = (0.0025, 0.01, 0.04, 0.16)
"""Bounds of the bins of edit sizes, as shares of the scan: each four times the one before."""
CENTRE_ONLY = "size not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What harmless changes do to a detector at its frozen threshold.

    Attributes:
        worst_fall: The largest fall of balanced accuracy among the changes that scans go through
            every day; its note names the change.
        variations: Figures by change; ``fall`` is that of balanced accuracy, on the same scans.
    """

    worst_fall: Estimate
    variations: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured of a detector on a set of scans.

    Attributes:
        metrics: Over all scans, by name.
        auc_by_generator: Of each generator's fakes against all authentic scans.
        false_alarms_by_source: Share of each source's authentic scans with the verdict fake.
        pointing_game: Share of local edits whose strongest evidence lies inside the edit, by
            generator.
        pointing_by_verdict: The same of all local edits that count in ``metrics``, by verdict; a
            scan that is called authentic shows no heatmap.
        confusion: Scans by label and verdict.
        patch_auc: Mean AUC of edited patches, each against others of its scan, by generator.
        iou: Mean overlap of heatmap and mask of local edits, by generator.
        by_generator: Further figures of each generator's fakes.
        by_source: Figures of each source's authentic scans, and the AUC of the fakes made from them
            against them: no detector of sources earns it.
        by_edit_size: Figures of local edits by their share of the scan.
        robustness: None where it was not measured.
        controls: AUC of whole synthetic images against authentic scans sent through the same
            resolution, by that resolution and generator.
        verdicts: How many scans of each source, and fakes of each generator, were called what.
        skipped: Scans that could not be judged, or not compared with their mask.
        set_apart: Generators whose fakes are in none of the figures over all scans.
    """

    metrics: Mapping[str, Estimate]
    auc_by_generator: Mapping[str, Estimate]
    false_alarms_by_source: Mapping[str, Estimate]
    pointing_game: Mapping[str, Estimate]
    confusion: Mapping[str, int]
    pointing_by_verdict: Mapping[str, Estimate] = field(default_factory=dict)
    patch_auc: Mapping[str, Estimate] = field(default_factory=dict)
    iou: Mapping[str, Estimate] = field(default_factory=dict)
    by_generator: Table = field(default_factory=dict)
    by_source: Table = field(default_factory=dict)
    by_edit_size: Table = field(default_factory=dict)
    robustness: Robustness | None = None
    controls: Table = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()
    set_apart: Sequence[str] = ()

    def to_json(self, card: Card) -> str:
        """Return the report as indented JSON, with what was measured."""
        detector = {"name": card.name, "modality": card.modality, "sha256": card.sha256}
        content: dict[str, Any] = {"detector": detector} | asdict(self)
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report(
    rows: Sequence[Prediction], card: Card, *, in_distribution: Sequence[str] = ()
) -> Report:
    """Compute every figure from predictions.

    Args:
        rows: Of the prediction file.
        card: Of the detector that made them.
        in_distribution: Generators whose fakes count in ``metrics``; all where empty. Each
            generator has its own row besides.
    """
    reals = [row for row in rows if row.label == "real"]
    generators = _grouped((row for row in rows if row.label == "fake"), "generator")
    sources = _grouped(reals, "source")
    set_apart = [name for name in generators if in_distribution and name not in in_distribution]
    counted = pooled(rows, set_apart)
    by_generator = {name: figures_of_fakes(own, reals, card) for name, own in generators.items()}
    by_source = {
        name: figures_of_reals(own, _fakes_of(name, rows), card) for name, own in sources.items()
    }
    sizes = {name: own for name, own in _by_size(rows).items() if own}
    return Report(
        metrics=estimates(METRICS, predictions_of_rows(counted, card)),
        auc_by_generator={name: figures["auc"] for name, figures in by_generator.items()},
        false_alarms_by_source={k: figures["false_alarm_rate"] for k, figures in by_source.items()},
        pointing_game=_column(by_generator, "pointing_game"),
        confusion=dict(
            sorted(Counter(f"{row.label} called {row.verdict}" for row in counted).items())
        ),
        pointing_by_verdict=_pointing_by_verdict(counted),
        patch_auc=_column(by_generator, "patch_auc"),
        iou=_column(by_generator, "iou"),
        by_generator=by_generator,
        by_source=by_source,
        by_edit_size={name: figures_of_fakes(own, reals, card) for name, own in sizes.items()},
        verdicts=verdicts_of(rows),
        set_apart=set_apart,
    )


def pooled(rows: Sequence[Prediction], set_apart: Sequence[str]) -> list[Prediction]:
    """Return the rows that figures over all scans are of: all but some generators' fakes."""
    return [row for row in rows if row.label == "real" or row.generator not in set_apart]


def verdicts_of(rows: Iterable[Prediction]) -> dict[str, dict[str, int]]:
    """Return how many authentic scans of each source and fakes of each generator got a verdict."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        group = f"fake, {row.generator}" if row.label == "fake" else f"authentic, {row.source}"
        if row.variation:
            group = f"{group}, {row.variation}"
        counts.setdefault(group, Counter())[row.verdict] += 1
    return {group: dict(sorted(count.items())) for group, count in sorted(counts.items())}


def predictions_of_rows(rows: Sequence[Prediction], card: Card) -> Predictions:
    """Return rows of the prediction file as arrays."""
    return Predictions(
        labels=np.array([int(LABELS[row.label]) for row in rows], dtype=np.int64),
        probabilities=np.array([row.probability for row in rows], dtype=np.float64),
        verdicts=np.array([row.verdict for row in rows], dtype=np.str_),
        people=np.array([row.person for row in rows], dtype=np.str_),
        threshold=card.operating_point.threshold,
    )


def edit_size(row: Prediction) -> str:
    """Return the bin of an edit's size; empty for authentic scans and whole synthetic images."""
    if row.edit_share is None:
        return CENTRE_ONLY if row.peak_in_mask else ""
    position = int(np.searchsorted(EDIT_SHARES, row.edit_share, side="right"))
    ends = [f"{100 * share:g}" for share in EDIT_SHARES]
    if position == 0:
        return f"under {ends[0]} % of the scan"
    if position == len(ends):
        return f"over {ends[-1]} % of the scan"
    return f"{ends[position - 1]} to {ends[position]} % of the scan"


def _grouped(rows: Iterable[Prediction], attribute: str) -> dict[str, list[Prediction]]:
    groups: dict[str, list[Prediction]] = {}
    for row in rows:
        groups.setdefault(getattr(row, attribute), []).append(row)
    return dict(sorted(groups.items()))


def _by_size(rows: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Return local edits by size, the smallest first, those of unknown size last."""
    edits = [row for row in rows if edit_size(row)]
    edits.sort(key=lambda row: np.inf if row.edit_share is None else row.edit_share)
    groups: dict[str, list[Prediction]] = {}
    for row in edits:
        groups.setdefault(edit_size(row), []).append(row)
    return groups


def figures_of_fakes(
    fakes: Sequence[Prediction], reals: Sequence[Prediction], card: Card
) -> dict[str, Estimate]:
    """Return the figures of fakes that belong together, against authentic scans."""
    figures = estimates(AGAINST_REALS, predictions_of_rows([*reals, *fakes], card))
    figures |= estimates(OF_FAKES, predictions_of_rows(fakes, card))
    pointed = [row for row in fakes if row.peak_in_mask]
    if pointed:
        figures["pointing_game"] = _pointing(pointed)
        figures |= {f"pointing_{k}": v for k, v in _pointing_by_verdict(pointed).items()}
    if ranked := [row for row in fakes if row.patch_auc is not None]:
        figures["patch_auc"] = _mean([row.patch_auc or 0.0 for row in ranked], ranked)
    overlapping = [row for row in fakes if row.iou is not None]
    if overlapping:
        figures["iou"] = _mean([row.iou or 0.0 for row in overlapping], overlapping)
    elif pointed:
        figures["iou"] = Estimate(value=None, note="undefined: only the edits' centres are known")
    return figures


def figures_of_reals(
    reals: Sequence[Prediction], fakes: Sequence[Prediction], card: Card
) -> dict[str, Estimate]:
    """Return the figures of authentic scans of one source, with the AUC of fakes made from them."""
    figures = estimates(OF_REALS, predictions_of_rows(reals, card))
    figures["auc"] = estimate(auc, predictions_of_rows([*reals, *fakes], card))
    return figures


def _fakes_of(source: str, rows: Sequence[Prediction]) -> list[Prediction]:
    return [row for row in rows if row.label == "fake" and row.source == source]


def _mean(values: Sequence[float], rows: Sequence[Prediction]) -> Estimate:
    people = np.array([row.person for row in rows], dtype=np.str_)
    return estimate_mean(np.array(values, dtype=np.float64), people)


def _pointing(edits: Sequence[Prediction]) -> Estimate:
    return _mean([float(row.peak_in_mask) for row in edits], edits)


def _pointing_by_verdict(rows: Sequence[Prediction]) -> dict[str, Estimate]:
    edits = [row for row in rows if row.peak_in_mask]
    if not edits:
        return {}
    shown = {"called_fake": Verdict.FAKE, "inconclusive": Verdict.INCONCLUSIVE}
    return {
        name: _pointing([row for row in edits if row.verdict == verdict])
        for name, verdict in shown.items()
    }


def _column(table: Table, name: str) -> dict[str, Estimate]:
    return {row: figures[name] for row, figures in table.items() if name in figures}


def write_report(folder: Path, content: Report, card: Card) -> None:
    """Write ``metrics.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(content.to_json(card), encoding="utf-8")
