from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from torchmetrics.functional import classification as tm

from app.detection.labels import Label, Verdict
from app.detection.verdict import OperatingPoint
from training.evaluation.metrics import (
    METRICS,
    Metric,
    Predictions,
    accuracy,
    auc,
    balanced_accuracy,
    balanced_calibration_error,
    coverage,
    detection_at_1_percent_false_alarms,
    expected_calibration_error,
    f1_fake,
    f1_real,
    false_alarm_rate,
    mean_auc_over_generators,
    mean_average_precision,
    miss_rate,
    pr_auc,
    precision_fake,
    precision_real,
    recall_fake,
    recall_real,
    selective_accuracy,
    why_undefined,
)

BAND = (0.3, 0.7)


def predictions(
    labels: NDArray[np.int64] | list[int],
    probabilities: NDArray[np.float64] | list[float],
    people: list[str] | None = None,
    threshold: float = 0.5,
) -> Predictions:
    point = OperatingPoint(temperature=1, bias=0, threshold=threshold, inconclusive_band=BAND)
    return Predictions(
        labels=np.array(labels, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float64),
        verdicts=np.array([point.verdict(p).value for p in probabilities], dtype=np.str_),
        people=np.array(people or [f"p{i}" for i in range(len(labels))], dtype=np.str_),
        threshold=threshold,
    )


def some(seed: int, *, reals: int = 60, fakes: int = 90) -> Predictions:
    """Overlapping scores, some of them tied, none of them on the threshold."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [reals, fakes]))
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 0.98)
    return predictions(labels, (scores * 50).round() / 50 + 0.001, threshold=0.49)


# --- against two libraries ------------------------------------------------------------------
# What comes from scikit-learn is checked against torchmetrics, and what is counted against both.


def called(p: Predictions) -> NDArray[np.int64]:
    return (p.probabilities >= p.threshold).astype(np.int64)


def equally_frequent(p: Predictions) -> Predictions:
    """Repeat the scans of each class as often as the other has scans."""
    reals, fakes = np.flatnonzero(p.labels == 0), np.flatnonzero(p.labels == 1)
    return p.take(np.concatenate([np.repeat(reals, len(fakes)), np.repeat(fakes, len(reals))]))


def binned(p: Predictions) -> float:
    """Return the calibration error from scikit-learn's reliability curve over ten bins."""
    shares, means = calibration_curve(p.labels, p.probabilities, n_bins=10)
    counts = np.histogram(p.probabilities, np.linspace(0, 1, 11))[0]
    return float((counts[counts > 0] * np.abs(shares - means)).sum() / counts.sum())


WITH_SKLEARN: dict[Metric, Callable[[Predictions], float]] = {
    auc: lambda p: sk.roc_auc_score(p.labels, p.probabilities),
    pr_auc: lambda p: sk.average_precision_score(p.labels, p.probabilities),
    mean_average_precision: lambda p: sk.average_precision_score(
        np.eye(2)[p.labels], np.stack([1 - p.probabilities, p.probabilities], 1), average="macro"
    ),
    accuracy: lambda p: sk.accuracy_score(p.labels, called(p)),
    balanced_accuracy: lambda p: sk.balanced_accuracy_score(p.labels, called(p)),
    recall_fake: lambda p: sk.recall_score(p.labels, called(p)),
    recall_real: lambda p: sk.recall_score(p.labels, called(p), pos_label=0),
    precision_fake: lambda p: sk.precision_score(p.labels, called(p)),
    precision_real: lambda p: sk.precision_score(p.labels, called(p), pos_label=0),
    f1_fake: lambda p: sk.f1_score(p.labels, called(p)),
    f1_real: lambda p: sk.f1_score(p.labels, called(p), pos_label=0),
    expected_calibration_error: binned,
    balanced_calibration_error: lambda p: binned(equally_frequent(p)),
}


def tensors(p: Predictions) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(p.probabilities), torch.from_numpy(p.labels)


def flipped(p: Predictions) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(1 - called(p)), torch.from_numpy(1 - p.labels)


WITH_TORCHMETRICS: dict[Metric, Callable[[Predictions], torch.Tensor]] = {
    auc: lambda p: tm.binary_auroc(*tensors(p)),
    pr_auc: lambda p: tm.binary_average_precision(*tensors(p)),
    mean_average_precision: lambda p: tm.multiclass_average_precision(
        torch.stack([1 - tensors(p)[0], tensors(p)[0]], 1), tensors(p)[1], num_classes=2
    ),
    expected_calibration_error: lambda p: tm.binary_calibration_error(*tensors(p), n_bins=10),
    accuracy: lambda p: tm.binary_accuracy(*tensors(p), threshold=p.threshold),
    recall_fake: lambda p: tm.binary_recall(*tensors(p), threshold=p.threshold),
    recall_real: lambda p: tm.binary_specificity(*tensors(p), threshold=p.threshold),
    precision_fake: lambda p: tm.binary_precision(*tensors(p), threshold=p.threshold),
    precision_real: lambda p: tm.binary_precision(*flipped(p)),
    f1_fake: lambda p: tm.binary_f1_score(*tensors(p), threshold=p.threshold),
    f1_real: lambda p: tm.binary_f1_score(*flipped(p)),
    balanced_accuracy: lambda p: tm.multiclass_accuracy(
        torch.from_numpy(called(p)), tensors(p)[1], num_classes=2, average="macro"
    ),
    balanced_calibration_error: lambda p: tm.binary_calibration_error(
        *tensors(equally_frequent(p)), n_bins=10
    ),
}


@pytest.mark.parametrize("metric", WITH_SKLEARN, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_is_what_scikit_learn_computes(metric: Metric, seed: int) -> None:
    p = some(seed)

    assert metric(p) == pytest.approx(WITH_SKLEARN[metric](p), abs=1e-9)


@pytest.mark.parametrize("metric", WITH_TORCHMETRICS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_is_what_torchmetrics_computes(metric: Metric, seed: int) -> None:
    p = some(seed)

    assert metric(p) == pytest.approx(float(WITH_TORCHMETRICS[metric](p)), abs=1e-6)


# --- by hand --------------------------------------------------------------------------------

EIGHT = predictions(
    [0, 0, 0, 0, 1, 1, 1, 1],
    [0.1, 0.2, 0.4, 0.9, 0.2, 0.6, 0.8, 0.95],
)
"""Verdicts: real, real, inconclusive, fake | real, inconclusive, fake, fake."""


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (coverage, 6 / 8),
        (selective_accuracy, 4 / 6),
        (false_alarm_rate, 1 / 4),
        (miss_rate, 1 / 4),
        (accuracy, 6 / 8),
        (recall_fake, 3 / 4),
        (recall_real, 3 / 4),
        (precision_fake, 3 / 4),
        (precision_real, 3 / 4),
    ],
)
def test_a_metric_is_what_is_counted_by_hand(metric: Metric, expected: float) -> None:
    assert metric(EIGHT) == pytest.approx(expected)


def test_a_scan_on_the_threshold_counts_as_fake() -> None:
    assert recall_fake(predictions([1], [0.5])) == 1


@pytest.mark.parametrize("reals", [5, 99, 100, 199, 200, 477, 2900])
def test_detection_is_the_most_that_any_threshold_with_at_most_one_percent_flagged_finds(
    reals: int,
) -> None:
    scores = np.linspace(0.01, 0.9, reals)
    fakes = np.linspace(0.5, 1, 997)
    p = predictions(np.repeat([0, 1], [reals, 997]), np.concatenate([scores, fakes]))

    found = [(fakes >= t).mean() for t in fakes if (scores >= t).sum() * 100 <= reals]

    assert detection_at_1_percent_false_alarms(p) == max(found)


def test_authentic_scans_tied_at_the_cut_are_not_flagged() -> None:
    p = predictions([0] * 200 + [1, 1], [0.1] * 190 + [0.7] * 10 + [0.7, 0.8])

    assert detection_at_1_percent_false_alarms(p) == 0.5


def test_scans_that_are_surely_authentic_keep_their_order_in_the_mean_average_precision() -> None:
    p = predictions([0, 1, 0, 1], [1e-20, 1e-18, 1e-19, 1e-17])

    assert mean_average_precision(p) == 1


def test_detection_is_whole_where_the_classes_do_not_overlap() -> None:
    assert detection_at_1_percent_false_alarms(predictions([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9])) == 1


def test_a_calibration_error_is_the_gap_between_what_is_said_and_what_is() -> None:
    p = predictions([1, 1, 1, 0], [0.85, 0.85, 0.85, 0.85])

    assert expected_calibration_error(p) == pytest.approx(0.1)  # three of four are fakes
    assert balanced_calibration_error(p) == pytest.approx(0.35)  # one half of them, by weight


def test_the_balanced_calibration_error_does_not_depend_on_how_many_scans_a_class_has() -> None:
    few, many = predictions([1, 0], [0.8, 0.3]), predictions([1, 0, 0, 0], [0.8, 0.3, 0.3, 0.3])

    assert balanced_calibration_error(few) == pytest.approx(balanced_calibration_error(many))
    assert expected_calibration_error(few) != pytest.approx(expected_calibration_error(many))


@pytest.mark.parametrize("error", [expected_calibration_error, balanced_calibration_error])
def test_certainty_has_a_bin_as_well(error: Metric) -> None:
    assert error(predictions([1, 0], [1.0, 0.0])) == 0


def test_a_scan_that_was_not_judged_is_not_covered() -> None:
    p = replace(EIGHT, verdicts=np.array(["not_judged"] * 8))

    assert coverage(p) == 0


# --- undefined ------------------------------------------------------------------------------

ONLY_REALS = predictions([0, 0, 0], [0.1, 0.2, 0.9])
ONLY_FAKES = predictions([1, 1, 1], [0.1, 0.2, 0.9])
NOBODY = predictions([], [])
UNDECIDED = predictions([0, 1], [0.45, 0.55])
NONE_FLAGGED = predictions([0, 0, 1], [0.1, 0.2, 0.3])
ALL_FLAGGED = predictions([0, 0, 1], [0.8, 0.9, 0.9])


@pytest.mark.parametrize(
    ("metric", "p", "reason"),
    [
        (auc, ONLY_REALS, "none is fake"),
        (auc, ONLY_FAKES, "none is authentic"),
        (pr_auc, ONLY_REALS, "none is fake"),
        (pr_auc, ONLY_FAKES, "none is authentic"),
        (mean_average_precision, ONLY_FAKES, "none is authentic"),
        (balanced_accuracy, ONLY_REALS, "none is fake"),
        (balanced_accuracy, ONLY_FAKES, "none is authentic"),
        (balanced_calibration_error, ONLY_FAKES, "none is authentic"),
        (detection_at_1_percent_false_alarms, ONLY_REALS, "none is fake"),
        (detection_at_1_percent_false_alarms, ONLY_FAKES, "none is authentic"),
        (recall_fake, ONLY_REALS, "none is fake"),
        (miss_rate, ONLY_REALS, "none is fake"),
        (recall_real, ONLY_FAKES, "none is authentic"),
        (false_alarm_rate, ONLY_FAKES, "none is authentic"),
        (precision_fake, NONE_FLAGGED, "none was called fake"),
        (precision_fake, predictions([1], [0.1]), "none was called fake"),
        (precision_real, ALL_FLAGGED, "none was called authentic"),
        (selective_accuracy, UNDECIDED, "none got a verdict"),
        (f1_fake, predictions([0], [0.1]), "none is fake"),
        *((metric, NOBODY, "there are no scans") for metric in METRICS.values()),
    ],
)
def test_what_is_undefined_is_not_zero_and_has_a_reason(
    metric: Metric, p: Predictions, reason: str
) -> None:
    assert np.isnan(metric(p))
    assert why_undefined(metric, p).endswith(reason)


def test_what_is_zero_is_zero_and_not_undefined() -> None:
    assert recall_fake(NONE_FLAGGED) == 0
    assert f1_fake(NONE_FLAGGED) == 0
    assert coverage(UNDECIDED) == 0


# --- over generators ------------------------------------------------------------------------


def test_a_generator_with_many_fakes_counts_no_more_than_one_with_few() -> None:
    labels = [0, 0] + [1] * 10 + [1]
    scores = [0.1, 0.2] + [0.9] * 10 + [0.05]
    generators = ["", ""] + ["easy"] * 10 + ["hard"]

    mean = mean_auc_over_generators(labels=labels, scores=scores, generators=generators)

    assert mean == pytest.approx((1.0 + 0.0) / 2)


def test_what_is_called_the_generator_of_an_authentic_scan_does_not_matter() -> None:
    labels, scores = [0, 0, 1, 1], [0.1, 0.5, 0.4, 0.9]

    means = {
        mean_auc_over_generators(labels=labels, scores=scores, generators=[name, name, "g", "g"])
        for name in ("", "g", "other")
    }

    assert means == {0.75}


@pytest.mark.parametrize("label", Label)
def test_with_one_class_there_is_no_mean(label: Label) -> None:
    mean = mean_auc_over_generators(labels=[label] * 2, scores=[0.1, 0.2], generators=["g", "g"])

    assert np.isnan(mean)


def test_every_verdict_of_the_tests_above_occurs() -> None:
    assert set(EIGHT.verdicts.tolist()) == {Verdict.REAL, Verdict.FAKE, Verdict.INCONCLUSIVE}
