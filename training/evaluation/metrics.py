"""Figures of merit, each from arrays alone. Class 1 is FAKE.

A figure that cannot be computed is NaN here and None with a reason in a report, never 0. Average
precision comes from scikit-learn; the other figures are counted in single lines, since a bootstrap
computes them thousands of times. Tests hold them against scikit-learn and torchmetrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from app.detection.labels import Label, Verdict

CALIBRATION_BINS = 10
FALSE_ALARMS = 0.01

Mask = NDArray[np.bool_]


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


def _all(p: Predictions) -> Mask:
    return np.ones(len(p.labels), dtype=np.bool_)


def _fakes(p: Predictions) -> Mask:
    return p.labels == Label.FAKE


def _reals(p: Predictions) -> Mask:
    return p.labels == Label.REAL


def _called_fake(p: Predictions) -> Mask:
    return p.probabilities >= p.threshold


def _called_real(p: Predictions) -> Mask:
    return p.probabilities < p.threshold


def _decided(p: Predictions) -> Mask:
    return (p.verdicts == Verdict.REAL) | (p.verdicts == Verdict.FAKE)


def _share(hits: Mask, among: Mask) -> float:
    return float(hits[among].mean()) if among.any() else float("nan")


def _has_both(p: Predictions) -> bool:
    return bool(_reals(p).any() and _fakes(p).any())


def auc(p: Predictions) -> float:
    """Return the area under the ROC curve; NaN with one class only.

    It is the share of pairs of a fake and an authentic scan in which the fake has the higher
    probability, where equal ones count half (Hanley and McNeil, Radiology 143, 1982).
    """
    if not _has_both(p):
        return float("nan")
    reals, fakes = np.sort(p.probabilities[_reals(p)]), p.probabilities[_fakes(p)]
    below = np.searchsorted(reals, fakes, side="left")
    not_above = np.searchsorted(reals, fakes, side="right")
    return float((below + not_above).mean() / (2 * len(reals)))


def pr_auc(p: Predictions) -> float:
    """Return the average precision for FAKE, the step-wise area; NaN with one class only."""
    return float(sk.average_precision_score(p.labels, p.probabilities)) if _has_both(p) else np.nan


def mean_average_precision(p: Predictions) -> float:
    """Return mAP: the mean of the average precisions of FAKE and of REAL; NaN with one class."""
    if not _has_both(p):
        return float("nan")
    # Not of 1 - p, which is 1 for whatever lies below 1e-16: sure scans would be tied.
    of_reals = sk.average_precision_score(1 - p.labels, -p.probabilities)
    return (pr_auc(p) + float(of_reals)) / 2


def detection_at_1_percent_false_alarms(p: Predictions) -> float:
    """Return the share of fakes caught where 1 % of authentic scans are flagged (Pd@1%FA).

    At most 1 %: of fewer than 100 not one may be flagged, of 100 to 199 one, and so on; nothing is
    interpolated. NaN with one class only.
    """
    if not _has_both(p):
        return float("nan")
    loudest = np.sort(p.probabilities[_reals(p)])[::-1]
    flagged = int(FALSE_ALARMS * len(loudest) + 1e-9)  # 0.01 * 2900 falls a hair short of 29
    return _share(p.probabilities > loudest[flagged], _fakes(p))


def accuracy(p: Predictions) -> float:
    """Return the share of scans on the right side of the threshold."""
    return _share(_called_fake(p) == _fakes(p), _all(p))


def recall_fake(p: Predictions) -> float:
    """Return the share of fakes at or above the threshold; NaN without fakes."""
    return _share(_called_fake(p), _fakes(p))


def recall_real(p: Predictions) -> float:
    """Return the share of authentic scans below the threshold; NaN without any."""
    return _share(_called_real(p), _reals(p))


def balanced_accuracy(p: Predictions) -> float:
    """Return the mean of both recalls; NaN with one class only."""
    return (recall_fake(p) + recall_real(p)) / 2


def precision_fake(p: Predictions) -> float:
    """Return the share of fakes among scans at or above the threshold; NaN without any."""
    return _share(_fakes(p), _called_fake(p))


def precision_real(p: Predictions) -> float:
    """Return the share of authentic scans among those below the threshold; NaN without any."""
    return _share(_reals(p), _called_real(p))


def f1_fake(p: Predictions) -> float:
    """Return F1 of FAKE, ``2 TP / (2 TP + FP + FN)``; NaN if no scan is or is called fake."""
    return _f1(_fakes(p), _called_fake(p))


def f1_real(p: Predictions) -> float:
    """Return F1 of REAL; NaN if no scan is or is called authentic."""
    return _f1(_reals(p), _called_real(p))


def _f1(true: Mask, called: Mask) -> float:
    total = int(true.sum() + called.sum())
    return 2 * int((true & called).sum()) / total if total else float("nan")


def expected_calibration_error(p: Predictions) -> float:
    """Return the expected calibration error over ten equal bins (Naeini et al. 2015).

    Each scan weighs alike, as is usual. The figure depends on how many fakes the set has: what is
    calibrated for equally frequent classes looks worse on a set of mostly fakes. NaN without scans.
    """
    weights = np.full(len(p.labels), 1 / max(1, len(p.labels)))
    return _calibration_gap(p, weights) if len(p.labels) else float("nan")


def balanced_calibration_error(p: Predictions) -> float:
    """Return the expected calibration error with both classes weighing one half.

    Probabilities are calibrated for classes that are equally frequent, so this is what calibration
    aims at, however many scans a class has here. NaN with one class only.
    """
    if not _has_both(p):
        return float("nan")
    fakes = _fakes(p)
    return _calibration_gap(p, np.where(fakes, 0.5 / fakes.sum(), 0.5 / (~fakes).sum()))


def _calibration_gap(p: Predictions, weights: NDArray[np.float64]) -> float:
    bins = np.minimum((p.probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights * (p.probabilities - p.labels), CALIBRATION_BINS)
    return float(np.abs(gaps).sum())


def coverage(p: Predictions) -> float:
    """Return the share of scans that are called real or fake."""
    return _share(_decided(p), _all(p))


def selective_accuracy(p: Predictions) -> float:
    """Return the share of right verdicts among scans that get one; NaN if none does."""
    return _share((p.verdicts == Verdict.FAKE) == _fakes(p), _decided(p))


def false_alarm_rate(p: Predictions) -> float:
    """Return the share of authentic scans with the verdict fake; NaN without any."""
    return _share(p.verdicts == Verdict.FAKE, _reals(p))


def miss_rate(p: Predictions) -> float:
    """Return the share of fakes with the verdict real; NaN without any."""
    return _share(p.verdicts == Verdict.REAL, _fakes(p))


METRICS: dict[str, Metric] = {
    "auc": auc,
    "pr_auc": pr_auc,
    "mean_average_precision": mean_average_precision,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision_fake": precision_fake,
    "precision_real": precision_real,
    "recall_fake": recall_fake,
    "recall_real": recall_real,
    "f1_fake": f1_fake,
    "f1_real": f1_real,
    "detection_at_1_percent_false_alarms": detection_at_1_percent_false_alarms,
    "ece": expected_calibration_error,
    "ece_balanced": balanced_calibration_error,
    "coverage": coverage,
    "selective_accuracy": selective_accuracy,
    "false_alarm_rate": false_alarm_rate,
    "miss_rate": miss_rate,
}

SHARE_AMONG: dict[Metric, Callable[[Predictions], Mask]] = {
    accuracy: _all,
    coverage: _all,
    recall_fake: _fakes,
    miss_rate: _fakes,
    detection_at_1_percent_false_alarms: _fakes,
    recall_real: _reals,
    false_alarm_rate: _reals,
    precision_fake: _called_fake,
    precision_real: _called_real,
    selective_accuracy: _decided,
}
"""The metrics that are shares, and the scans each is a share of."""

_NONE_AMONG = {
    _called_fake: "none was called fake",
    _called_real: "none was called authentic",
    _decided: "none got a verdict",
}


def why_undefined(metric: Metric, p: Predictions) -> str:
    """Say why a metric is NaN on these scans."""
    where = f"undefined on these {len(p.labels)} scans"
    among = SHARE_AMONG.get(metric)
    if not len(p.labels):
        return "undefined: there are no scans"
    if among in _NONE_AMONG and not among(p).any():
        return f"{where}: {_NONE_AMONG[among]}"
    if not _reals(p).any():
        return f"{where}: none is authentic"
    if not _fakes(p).any():
        return f"{where}: none is fake"
    return where


def mean_auc_over_generators(
    *, labels: Sequence[int], scores: Sequence[float], generators: Sequence[str]
) -> float:
    """Return the mean AUC of each generator's fakes against all authentic scans.

    A generator with many fakes counts no more than one with few. NaN if a class is missing.

    Args:
        labels: 0 or 1.
        scores: Higher means more likely fake; logits do as well.
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
