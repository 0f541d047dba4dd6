"""From the prediction file to ``metrics.json``."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.detection.card import Card, Estimate
from app.detection.labels import Label
from training.data.manifest import LABELS
from training.evaluation.metrics import METRICS, Predictions, auc, estimate, false_alarm_rate
from training.evaluation.predict import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured of a detector on a set of scans.

    Attributes:
        metrics: Over all scans, by name.
        auc_by_generator: Of each generator's fakes against all authentic scans.
        false_alarms_by_source: Share of each source's authentic scans with the verdict fake.
        pointing_game: Share of local edits whose strongest evidence lies inside the edit, by
            generator (Zhang et al. 2018).
        confusion: Scans by label and verdict.
    """

    metrics: Mapping[str, Estimate]
    auc_by_generator: Mapping[str, Estimate]
    false_alarms_by_source: Mapping[str, Estimate]
    pointing_game: Mapping[str, Estimate]
    confusion: Mapping[str, int]

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
    counted = [
        row
        for row in rows
        if not in_distribution or row.label == "real" or row.generator in in_distribution
    ]
    overall = _predictions(counted, card)
    reals = [row for row in rows if row.label == "real"]
    generators = sorted({row.generator for row in rows if row.label == "fake"})
    sources = sorted({row.source for row in reals})
    return Report(
        metrics={name: estimate(metric, overall) for name, metric in METRICS.items()},
        auc_by_generator={
            name: estimate(auc, _predictions([*reals, *_of_generator(rows, name)], card))
            for name in generators
        },
        false_alarms_by_source={
            name: estimate(
                false_alarm_rate, _predictions([r for r in reals if r.source == name], card)
            )
            for name in sources
        },
        pointing_game={
            name: estimate(_share_inside, _pointed(_of_generator(rows, name), card))
            for name in generators
            if any(row.peak_in_mask for row in _of_generator(rows, name))
        },
        confusion=dict(
            sorted(Counter(f"{row.label} called {row.verdict}" for row in counted).items())
        ),
    )


def _of_generator(rows: Sequence[Prediction], generator: str) -> list[Prediction]:
    return [row for row in rows if row.label == "fake" and row.generator == generator]


def _predictions(rows: Sequence[Prediction], card: Card) -> Predictions:
    return Predictions(
        labels=np.array([int(LABELS[row.label]) for row in rows], dtype=np.int64),
        probabilities=np.array([row.probability for row in rows], dtype=np.float64),
        verdicts=np.array([row.verdict for row in rows], dtype=np.str_),
        people=np.array([row.person for row in rows], dtype=np.str_),
        threshold=card.operating_point.threshold,
    )


def _pointed(rows: Sequence[Prediction], card: Card) -> Predictions:
    """Return edits with ``labels`` saying whether the evidence peaks inside the edit."""
    known = [row for row in rows if row.peak_in_mask]
    predictions = _predictions(known, card)
    inside = np.array([int(row.peak_in_mask) for row in known], dtype=np.int64)
    return Predictions(
        labels=inside,
        probabilities=predictions.probabilities,
        verdicts=predictions.verdicts,
        people=predictions.people,
        threshold=predictions.threshold,
    )


def _share_inside(p: Predictions) -> float:
    return float((p.labels == Label.FAKE).mean())


def write_report(folder: Path, content: Report, card: Card) -> None:
    """Write ``metrics.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(content.to_json(card), encoding="utf-8")
