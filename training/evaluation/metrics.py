"""Figures of merit, each from arrays alone. Class 1 is FAKE.

A figure that cannot be computed is None with a reason, never 0. Intervals are the 2.5th and
97.5th percentile of a bootstrap over patients (Efron 1979), since scans of one patient are alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from app.detection.card import Estimate
from app.detection.labels import Label, Verdict
from training.seeding import generator_for

BOOTSTRAP_ROUNDS = 1000
CALIBRATION_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a detector said of scans.

    Attributes:
        labels: 0 or 1, int, shape ``[N]``.
        probabilities: Calibrated, float in [0, 1], shape ``[N]``.
        verdicts: ``real``, ``fake`` or ``inconclusive``, shape ``[N]``.
        people: Patient of each scan, shape ``[N]``.
        threshold: Of the detector.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    verdicts: NDArray[np.str_]
    people: NDArray[np.str_]
    threshold: float

    def take(self, positions: NDArray[np.intp]) -> "Predictions":
        """Return the scans at these positions, in this order, with repetitions."""
        return Predictions(
            labels=self.labels[positions],
            probabilities=self.probabilities[positions],
            verdicts=self.verdicts[positions],
            people=self.people[positions],
            threshold=self.threshold,
        )


Metric = Callable[[Predictions], float]


def estimate(
    metric: Metric, predictions: Predictions, *, rounds: int = BOOTSTRAP_ROUNDS
) -> Estimate:
    """Return a metric with its 95 % interval from a bootstrap over patients."""
    value = metric(predictions)
    count = len(predictions.labels)
    if not np.isfinite(value):
        return Estimate(value=None, note=f"undefined on these {count} scans")
    drawn = []
    groups = _positions_by_person(predictions.people)
    rng = generator_for("bootstrap", count, rounds)
    for _ in range(rounds):
        chosen = rng.integers(len(groups), size=len(groups))
        drawn.append(metric(predictions.take(np.concatenate([groups[i] for i in chosen]))))
    finite = [d for d in drawn if np.isfinite(d)]
    if len(finite) < 0.9 * rounds:
        return Estimate(value=value, note=f"{count} scans, too few for an interval")
    low, high = np.percentile(finite, [2.5, 97.5])
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        note=f"{count} scans of {len(groups)} patients or synthetic scans",
    )


def _positions_by_person(people: NDArray[np.str_]) -> list[NDArray[np.intp]]:
    _, inverse = np.unique(people, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)


def _has_both(p: Predictions) -> bool:
    return bool((p.labels == Label.REAL).any() and (p.labels == Label.FAKE).any())


def auc(p: Predictions) -> float:
    """Return the area under the ROC curve; NaN with one class only."""
    return float(sk.roc_auc_score(p.labels, p.probabilities)) if _has_both(p) else float("nan")


def pr_auc(p: Predictions) -> float:
    """Return the average precision for FAKE; NaN with one class only."""
    if not _has_both(p):
        return float("nan")
    return float(sk.average_precision_score(p.labels, p.probabilities))


def _called_fake(p: Predictions) -> NDArray[np.bool_]:
    return p.probabilities >= p.threshold


def accuracy(p: Predictions) -> float:
    """Return the share of scans on the right side of the threshold."""
    return float((_called_fake(p) == (p.labels == Label.FAKE)).mean()) if len(p.labels) else np.nan


def recall_fake(p: Predictions) -> float:
    """Return the share of fakes at or above the threshold; NaN without fakes."""
    fakes = p.labels == Label.FAKE
    return float(_called_fake(p)[fakes].mean()) if fakes.any() else float("nan")


def recall_real(p: Predictions) -> float:
    """Return the share of authentic scans below the threshold; NaN without any."""
    reals = p.labels == Label.REAL
    return float((~_called_fake(p))[reals].mean()) if reals.any() else float("nan")


def precision_fake(p: Predictions) -> float:
    """Return the share of fakes among scans at or above the threshold; NaN without any."""
    called = _called_fake(p)
    return float((p.labels[called] == Label.FAKE).mean()) if called.any() else float("nan")


def precision_real(p: Predictions) -> float:
    """Return the share of authentic scans among those below the threshold; NaN without any."""
    called = ~_called_fake(p)
    return float((p.labels[called] == Label.REAL).mean()) if called.any() else float("nan")


def f1_fake(p: Predictions) -> float:
    """Return the harmonic mean of precision and recall of FAKE."""
    precision, recall = precision_fake(p), recall_fake(p)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def balanced_accuracy(p: Predictions) -> float:
    """Return the mean of both recalls; NaN with one class only."""
    return (recall_fake(p) + recall_real(p)) / 2


def detection_at_1_percent_false_alarms(p: Predictions) -> float:
    """Return the share of fakes caught where 1 % of authentic scans are flagged (Pd@1%FA)."""
    if not _has_both(p):
        return float("nan")
    reals = p.probabilities[p.labels == Label.REAL]
    fakes = p.probabilities[p.labels == Label.FAKE]
    return float((fakes > np.quantile(reals, 0.99, method="higher")).mean())


def expected_calibration_error(p: Predictions) -> float:
    """Return the expected calibration error over ten equal bins (Naeini et al. 2015).

    Probabilities are calibrated for classes that are equally frequent, so each class weighs one
    half here, however many scans it has. NaN with one class only.
    """
    if not _has_both(p):
        return float("nan")
    fakes = p.labels == Label.FAKE
    weights = np.where(fakes, 0.5 / fakes.sum(), 0.5 / (~fakes).sum())
    bins = np.minimum((p.probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights * (p.probabilities - p.labels), CALIBRATION_BINS)
    return float(np.abs(gaps).sum())


def coverage(p: Predictions) -> float:
    """Return the share of scans that get a verdict other than inconclusive."""
    return float((p.verdicts != Verdict.INCONCLUSIVE).mean()) if len(p.labels) else float("nan")


def selective_accuracy(p: Predictions) -> float:
    """Return the share of right verdicts among scans that get one; NaN if none does."""
    decided = p.verdicts != Verdict.INCONCLUSIVE
    if not decided.any():
        return float("nan")
    right = (p.verdicts == Verdict.FAKE) == (p.labels == Label.FAKE)
    return float(right[decided].mean())


def false_alarm_rate(p: Predictions) -> float:
    """Return the share of authentic scans with the verdict fake; NaN without any."""
    reals = p.labels == Label.REAL
    return float((p.verdicts[reals] == Verdict.FAKE).mean()) if reals.any() else float("nan")


def miss_rate(p: Predictions) -> float:
    """Return the share of fakes with the verdict real; NaN without any."""
    fakes = p.labels == Label.FAKE
    return float((p.verdicts[fakes] == Verdict.REAL).mean()) if fakes.any() else float("nan")


METRICS: dict[str, Metric] = {
    "auc": auc,
    "pr_auc": pr_auc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision_fake": precision_fake,
    "precision_real": precision_real,
    "recall_fake": recall_fake,
    "recall_real": recall_real,
    "f1_fake": f1_fake,
    "detection_at_1_percent_false_alarms": detection_at_1_percent_false_alarms,
    "ece": expected_calibration_error,
    "coverage": coverage,
    "selective_accuracy": selective_accuracy,
    "false_alarm_rate": false_alarm_rate,
    "miss_rate": miss_rate,
}


def mean_auc_over_generators(
    *, labels: Sequence[int], scores: Sequence[float], generators: Sequence[str]
) -> float:
    """Return the mean AUC of each generator's fakes against all authentic scans.

    A generator with many fakes counts no more than one with few. NaN if a class is missing.

    Args:
        labels: 0 or 1.
        scores: Higher means more likely fake.
        generators: Name of the generator of each fake; not looked at for authentic scans.
    """
    truth, score, name = np.asarray(labels), np.asarray(scores), np.asarray(generators)
    reals = truth == Label.REAL
    names = np.unique(name[~reals])
    if not reals.any() or len(names) == 0:
        return float("nan")
    aucs = [
        sk.roc_auc_score(truth[chosen], score[chosen])
        for chosen in (reals | ((name == n) & ~reals) for n in names)
    ]
    return float(np.mean(aucs))
