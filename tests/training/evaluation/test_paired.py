from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from training.evaluation.metrics import METRICS, Predictions
from training.evaluation.paired import compare_metrics, delong_p_value, mcnemar

AUC = {"auc": METRICS["auc"]}
ACCURACY = {"accuracy": METRICS["accuracy"]}


def said(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    people: NDArray[np.str_] | None = None,
) -> Predictions:
    verdicts = np.where(probabilities >= 0.5, "fake", "real")
    return Predictions(
        labels=labels,
        probabilities=probabilities,
        verdicts=verdicts,
        people=np.arange(len(labels)).astype(str) if people is None else people,
        threshold=0.5,
    )


def two_detectors(
    seed: int, *, count: int = 120, strengths: tuple[float, float] = (1.0, 1.0)
) -> tuple[Predictions, Predictions]:
    """Draw two detectors that see the same hardness of each scan, and noise of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    shared = rng.normal(size=count)
    scores = [s * (2 * labels - 1) + shared + rng.normal(scale=0.7, size=count) for s in strengths]
    first, second = (said(labels, stats.norm.cdf(score)) for score in scores)
    return first, second


def test_a_detector_is_no_better_than_itself() -> None:
    first, _ = two_detectors(0)

    found = compare_metrics(first, first, rounds=50)

    assert set(found) == set(METRICS)
    for comparison in found.values():
        assert comparison.difference.value == 0
        assert comparison.p_value == 1
    assert mcnemar(first, first).p_value == 1


def test_delong_agrees_with_its_definition() -> None:
    """Structural components by the double loop of the paper, one scan a patient."""
    first, second = two_detectors(1, count=40, strengths=(0.4, 0.9))
    fakes = first.labels == 1
    components = []
    for p in (first, second):
        x, y = p.probabilities[fakes][:, None], p.probabilities[~fakes][None, :]
        psi = (x > y) + 0.5 * (x == y)
        components.append((psi.mean(axis=1), psi.mean(axis=0)))
    (v10_a, v01_a), (v10_b, v01_b) = components
    variance = np.var(v10_b - v10_a, ddof=1) / len(v10_a) + np.var(v01_b - v01_a, ddof=1) / len(
        v01_a
    )
    z = (v10_b.mean() - v10_a.mean()) / np.sqrt(variance)

    assert v10_b.mean() == pytest.approx(roc_auc_score(second.labels, second.probabilities))
    # The sums over patients have one term more, the product of both classes, which is 0 here; the
    # rest is the paper's.
    assert delong_p_value(first, second) == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_scans_that_are_repeated_within_a_patient_prove_nothing_more() -> None:
    first, second = two_detectors(2, strengths=(0.5, 0.7))
    five_times = np.repeat(np.arange(len(first.labels)), 5)

    once = delong_p_value(first, second)
    repeated = delong_p_value(first.take(five_times), second.take(five_times))
    taken_for_independent = delong_p_value(
        said(first.labels[five_times], first.probabilities[five_times]),
        said(second.labels[five_times], second.probabilities[five_times]),
    )

    assert repeated == pytest.approx(once)
    assert taken_for_independent is not None
    assert once is not None
    assert taken_for_independent < once


def by_delong(first: Predictions, second: Predictions) -> float | None:
    return delong_p_value(first, second)


def by_permutation(first: Predictions, second: Predictions) -> float | None:
    return compare_metrics(first, second, ACCURACY, rounds=60)["accuracy"].p_value


@pytest.mark.parametrize("test", [by_delong, by_permutation])
def test_equal_detectors_are_called_different_as_often_as_the_level_says(
    test: Callable[[Predictions, Predictions], float | None],
) -> None:
    p_values = [test(*two_detectors(seed)) for seed in range(60)]

    found = np.array(p_values, dtype=float)
    assert (found < 0.1).mean() < 0.2
    assert found.mean() > 0.4


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_a_clearly_better_detector_is_found(metric: str) -> None:
    found = compare_metrics(
        *two_detectors(3, strengths=(0.2, 1.5)), {metric: METRICS[metric]}, rounds=200
    )[metric]

    assert found.p_value is not None
    assert found.p_value < 0.01
    assert found.difference.low is not None
    assert found.difference.low > 0
    assert found.first.value is not None
    assert found.second.value is not None
    assert found.difference.value == pytest.approx(found.second.value - found.first.value)


def test_pairing_narrows_the_interval() -> None:
    first, second = two_detectors(4, strengths=(0.6, 0.9))
    found = compare_metrics(first, second, AUC, rounds=200)["auc"]

    def width(low: float | None, high: float | None) -> float:
        assert low is not None
        assert high is not None
        return high - low

    assert width(found.difference.low, found.difference.high) < width(
        found.first.low, found.first.high
    ) + width(found.second.low, found.second.high)


def test_two_comparisons_of_the_same_are_the_same() -> None:
    pair = two_detectors(5)

    assert compare_metrics(*pair, rounds=40) == compare_metrics(*pair, rounds=40)


def test_a_figure_that_is_undefined_is_none_with_a_reason() -> None:
    only_real = said(np.zeros(8, dtype=np.int64), np.arange(8) / 8)

    found = compare_metrics(only_real, only_real, AUC, rounds=20)["auc"]

    assert found.first.value is None
    assert found.first.note
    assert found.p_value is None


def test_two_detectors_without_any_spread_are_told_apart_all_the_same() -> None:
    labels = np.arange(20) % 2
    sure = labels.astype(np.float64)
    right, wrong = said(labels, sure), said(labels, 1 - sure)

    found = compare_metrics(right, wrong, AUC, rounds=100)["auc"]

    assert delong_p_value(right, wrong) is None
    assert found.test == "permutation"
    assert found.p_value is not None
    assert found.p_value < 0.05


def test_a_single_patient_gives_no_p_value() -> None:
    first, second = two_detectors(6, count=10)
    people = np.full(10, "p0")

    assert delong_p_value(replace(first, people=people), replace(second, people=people)) is None


def test_other_scans_are_refused() -> None:
    first, second = two_detectors(7)

    with pytest.raises(ValueError, match="same scans"):
        compare_metrics(first, replace(second, people=second.people[::-1]))


def test_mcnemar_counts_the_scans_that_one_alone_has_right() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    first = said(labels, np.array([0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1]))
    second = said(labels, np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]))

    found = mcnemar(first, second)

    assert (found.only_first, found.only_second) == (4, 1)
    assert found.p_value == pytest.approx(2 * sum(stats.binom.pmf(k, 5, 0.5) for k in (4, 5)))
