from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
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
    coverage,
    detection_at_1_percent_false_alarms,
    estimate,
    expected_calibration_error,
    f1_fake,
    false_alarm_rate,
    mean_auc_over_generators,
    miss_rate,
    pr_auc,
    precision_fake,
    precision_real,
    recall_fake,
    recall_real,
    selective_accuracy,
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


def tensors(p: Predictions) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(p.probabilities), torch.from_numpy(p.labels)


# --- against torchmetrics -------------------------------------------------------------------


def flipped(p: Predictions) -> tuple[torch.Tensor, torch.Tensor]:
    scores, labels = tensors(p)
    return (scores < p.threshold).int(), 1 - labels


def equally_frequent(p: Predictions) -> Predictions:
    """Repeat the scans of each class as often as the other has scans."""
    reals, fakes = np.flatnonzero(p.labels == 0), np.flatnonzero(p.labels == 1)
    return p.take(np.concatenate([np.repeat(reals, len(fakes)), np.repeat(fakes, len(reals))]))


INDEPENDENT: dict[Metric, Callable[[Predictions], torch.Tensor]] = {
    auc: lambda p: tm.binary_auroc(*tensors(p)),
    pr_auc: lambda p: tm.binary_average_precision(*tensors(p)),
    accuracy: lambda p: tm.binary_accuracy(*tensors(p), threshold=p.threshold),
    recall_fake: lambda p: tm.binary_recall(*tensors(p), threshold=p.threshold),
    recall_real: lambda p: tm.binary_specificity(*tensors(p), threshold=p.threshold),
    precision_fake: lambda p: tm.binary_precision(*tensors(p), threshold=p.threshold),
    precision_real: lambda p: tm.binary_precision(*flipped(p)),
    f1_fake: lambda p: tm.binary_f1_score(*tensors(p), threshold=p.threshold),
    balanced_accuracy: lambda p: tm.multiclass_accuracy(
        (tensors(p)[0] >= p.threshold).int(), tensors(p)[1], num_classes=2, average="macro"
    ),
    expected_calibration_error: lambda p: tm.binary_calibration_error(
        *tensors(equally_frequent(p)), n_bins=10
    ),
}


@pytest.mark.parametrize("metric", INDEPENDENT, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_is_what_an_independent_library_computes(metric: Metric, seed: int) -> None:
    p = some(seed)

    assert metric(p) == pytest.approx(float(INDEPENDENT[metric](p)), abs=1e-6)


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


@pytest.mark.parametrize("reals", [5, 100, 101, 250, 1000])
def test_at_most_one_percent_is_flagged_where_detection_is_measured(reals: int) -> None:
    scores = np.linspace(0, 0.9, reals)
    labels = np.repeat([0, 1], [reals, 50])
    p = predictions(labels, np.concatenate([scores, np.linspace(0.5, 1, 50)]))

    caught = detection_at_1_percent_false_alarms(p)

    strictest = np.sort(scores)[-(int(0.01 * (reals - 1)) + 1)]
    assert (scores > strictest).mean() <= 0.01
    assert caught == pytest.approx((np.linspace(0.5, 1, 50) > strictest).mean())


def test_detection_is_whole_where_the_classes_do_not_overlap() -> None:
    assert detection_at_1_percent_false_alarms(predictions([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9])) == 1


def test_a_calibration_error_is_the_gap_between_what_is_said_and_what_is() -> None:
    p = predictions([1, 1, 1, 0], [0.85, 0.85, 0.85, 0.85])

    assert expected_calibration_error(p) == pytest.approx(0.35)  # one half of them, by weight


def test_a_calibration_error_does_not_depend_on_how_many_scans_a_class_has() -> None:
    few, many = predictions([1, 0], [0.8, 0.3]), predictions([1, 0, 0, 0], [0.8, 0.3, 0.3, 0.3])

    assert expected_calibration_error(few) == pytest.approx(expected_calibration_error(many))


def test_certainty_has_a_bin_as_well() -> None:
    assert expected_calibration_error(predictions([1, 0], [1.0, 0.0])) == 0


# --- undefined ------------------------------------------------------------------------------

ONLY_REALS = predictions([0, 0, 0], [0.1, 0.2, 0.9])
ONLY_FAKES = predictions([1, 1, 1], [0.1, 0.2, 0.9])
NOBODY = predictions([], [])
UNDECIDED = predictions([0, 1], [0.45, 0.55])
NONE_FLAGGED = predictions([0, 0, 1], [0.1, 0.2, 0.3])
ALL_FLAGGED = predictions([0, 0, 1], [0.8, 0.9, 0.9])


@pytest.mark.parametrize(
    ("metric", "p"),
    [
        (auc, ONLY_REALS),
        (auc, ONLY_FAKES),
        (pr_auc, ONLY_REALS),
        (pr_auc, ONLY_FAKES),
        (balanced_accuracy, ONLY_REALS),
        (balanced_accuracy, ONLY_FAKES),
        (detection_at_1_percent_false_alarms, ONLY_REALS),
        (detection_at_1_percent_false_alarms, ONLY_FAKES),
        (recall_fake, ONLY_REALS),
        (miss_rate, ONLY_REALS),
        (recall_real, ONLY_FAKES),
        (false_alarm_rate, ONLY_FAKES),
        (precision_fake, NONE_FLAGGED),
        (precision_real, ALL_FLAGGED),
        (selective_accuracy, UNDECIDED),
        *((metric, NOBODY) for metric in METRICS.values()),
    ],
)
def test_what_is_undefined_is_none_with_a_reason_and_never_zero(
    metric: Metric, p: Predictions
) -> None:
    figure = estimate(metric, p)

    assert figure.value is figure.low is figure.high is None
    assert figure.note == f"undefined on these {len(p.labels)} scans"


def test_what_is_zero_is_zero_and_not_undefined() -> None:
    assert estimate(recall_fake, NONE_FLAGGED, rounds=50).value == 0
    assert estimate(coverage, UNDECIDED, rounds=50).value == 0


# --- intervals ------------------------------------------------------------------------------


def test_an_interval_holds_the_figure_and_says_how_many_it_stands_on() -> None:
    p = some(0)

    figure = estimate(auc, p, rounds=200)

    assert figure.low is not None
    assert figure.high is not None
    assert figure.value == auc(p)
    assert 0.5 < figure.low < auc(p) < figure.high <= 1
    assert figure.note == "150 scans of 150 patients or synthetic scans"


def test_an_interval_is_the_same_every_time() -> None:
    assert estimate(auc, some(0), rounds=50) == estimate(auc, some(0), rounds=50)


def test_patients_and_not_scans_are_drawn() -> None:
    """Ten copies of each scan of the same patient tell no more than one."""
    rng = np.random.default_rng(0)
    right = (rng.random(40) < 0.7).astype(float)
    one = predictions([1] * 40, right)
    people = [f"p{i}" for i in range(40)]
    copies = predictions(
        np.ones(400, dtype=np.int64), np.repeat(right, 10), list(np.repeat(people, 10))
    )
    strangers = predictions(np.ones(400, dtype=np.int64), np.repeat(right, 10))

    def width(p: Predictions) -> float:
        figure = estimate(recall_fake, p)
        assert figure.low is not None
        assert figure.high is not None
        return figure.high - figure.low

    assert width(copies) == pytest.approx(width(one), rel=0.2)
    assert width(strangers) < 0.5 * width(one)
    # That of a share: 2 * 1.96 * sqrt(p * (1 - p) / n).
    share = right.mean()
    assert width(one) == pytest.approx(3.92 * np.sqrt(share * (1 - share) / 40), rel=0.2)


def test_all_scans_of_a_drawn_patient_are_drawn() -> None:
    p = predictions([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8], people=["a", "a", "b", "b"])
    sizes = []

    def counting(drawn: Predictions) -> float:
        sizes.append(sorted(drawn.people.tolist()))
        return 0.5

    estimate(counting, p, rounds=30)

    assert {tuple(s) for s in sizes} == {
        ("a", "a", "b", "b"),
        ("a", "a", "a", "a"),
        ("b", "b", "b", "b"),
    }


def test_too_few_patients_for_an_interval_are_said_to_be_so() -> None:
    figure = estimate(auc, predictions([0, 1], [0.1, 0.9]))

    assert figure.value == 1
    assert figure.low is figure.high is None
    assert figure.note == "2 scans, too few for an interval"


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
