import numpy as np
import pytest

from app.detection.card import Estimate
from training.evaluation.intervals import (
    LEAST_PATIENTS,
    estimate,
    estimate_fall,
    estimate_mean,
    estimates,
    resamples,
)
from training.evaluation.metrics import (
    METRICS,
    Predictions,
    auc,
    balanced_accuracy,
    detection_at_1_percent_false_alarms,
    false_alarm_rate,
    recall_fake,
)


def predictions(
    labels: list[int], probabilities: list[float], people: list[str] | None = None
) -> Predictions:
    """Call everything from 0.5 on fake."""
    names = people or [f"p{i}" for i in range(len(labels))]
    return Predictions(
        labels=np.array(labels, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float64),
        verdicts=np.array(["fake" if p >= 0.5 else "real" for p in probabilities], dtype=np.str_),
        people=np.array(names, dtype=np.str_),
        threshold=0.5,
    )


def some(*, reals: int = 60, fakes: int = 90, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [reals, fakes])
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 0.98)
    return predictions(labels.tolist(), scores.tolist())


def width(figure: Estimate) -> float:
    assert figure.low is not None
    assert figure.high is not None
    return figure.high - figure.low


# --- drawing patients -----------------------------------------------------------------------


def test_all_scans_of_a_drawn_patient_are_drawn() -> None:
    people = np.array(["a", "b", "a", "b", "b"])

    draws = {tuple(sorted(d.tolist())) for d in resamples(people, np.zeros(5), 40)}

    a, b = (0, 2), (1, 3, 4)
    assert draws == {tuple(sorted(one + other)) for one in (a, b) for other in (a, b)}


def test_as_many_patients_of_each_class_are_drawn_as_there_are() -> None:
    people = np.array(["a", "b", "c", "d", "d"])
    labels = np.array([0, 0, 0, 0, 1])  # only d has both

    for drawn in resamples(people, labels, 30):
        assert sorted(people[drawn])[-2:] == ["d", "d"]
        assert len(drawn) == 5


def test_no_draw_misses_a_class() -> None:
    labels = [0] * 200 + [1] * LEAST_PATIENTS
    scores = np.linspace(0, 0.9, len(labels)).tolist()

    figure = estimate(auc, predictions(labels, scores), rounds=200)

    assert figure.low is not None


# --- intervals ------------------------------------------------------------------------------


def test_an_interval_holds_the_figure_and_says_how_many_it_stands_on() -> None:
    p = some()

    figure = estimate(auc, p, rounds=200)

    assert figure.low is not None
    assert figure.high is not None
    assert figure.value == auc(p)
    assert 0.5 < figure.low < auc(p) < figure.high <= 1
    assert figure.note == "150 scans of 150 patients or synthetic scans"


def test_a_share_says_of_how_many_it_is_one() -> None:
    figure = estimate(false_alarm_rate, some(reals=60, fakes=90), rounds=50)

    assert figure.note == "60 scans of 60 patients or synthetic scans"


def test_an_interval_is_the_same_every_time() -> None:
    assert estimate(auc, some(), rounds=50) == estimate(auc, some(), rounds=50)


def test_metrics_measured_together_are_what_each_is_alone() -> None:
    together = estimates(METRICS, some(), rounds=30)

    for name in ("auc", "ece", "miss_rate"):
        assert together[name] == estimate(METRICS[name], some(), rounds=30)


def test_patients_and_not_scans_are_drawn() -> None:
    """Ten copies of each scan of the same patient tell no more than one."""
    rng = np.random.default_rng(0)
    right = (rng.random(40) < 0.7).astype(float)
    copied = np.repeat(right, 10).tolist()
    people = [f"p{i}" for i in range(40)]

    one = estimate(recall_fake, predictions([1] * 40, right.tolist()))
    copies = estimate(recall_fake, predictions([1] * 400, copied, np.repeat(people, 10).tolist()))
    strangers = estimate(recall_fake, predictions([1] * 400, copied))

    assert width(copies) == pytest.approx(width(one), rel=0.2)
    assert width(strangers) < 0.5 * width(one)
    # That of a share: 2 * 1.96 * sqrt(p * (1 - p) / n).
    share = right.mean()
    assert width(one) == pytest.approx(3.92 * np.sqrt(share * (1 - share) / 40), rel=0.2)


def test_the_interval_of_an_auc_is_as_wide_as_theory_says() -> None:
    p = some(reals=150, fakes=150, seed=3)

    figure = estimate(auc, p)

    # Hanley and McNeil, Radiology 1982.
    area = auc(p)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 149 * (q1 - area**2) + 149 * (q2 - area**2)) / 150**2
    assert width(figure) == pytest.approx(3.92 * np.sqrt(variance), rel=0.2)


# --- where there is no spread ---------------------------------------------------------------


def test_no_error_among_thirty_is_not_taken_for_never_an_error() -> None:
    figure = estimate(false_alarm_rate, predictions([0] * 30, [0.1] * 30), rounds=20)

    assert (figure.value, figure.low) == (0, 0)
    assert figure.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert "exact binomial" in figure.note


def test_an_exact_interval_counts_patients_and_not_scans() -> None:
    p = predictions([0] * 30, [0.1] * 30, people=[f"p{i % 3}" for i in range(30)])

    figure = estimate(false_alarm_rate, p, rounds=20)

    assert figure.high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_a_perfect_auc_says_that_its_interval_tells_nothing() -> None:
    figure = estimate(auc, predictions([0] * 9 + [1] * 9, [0.1] * 9 + [0.9] * 9), rounds=20)

    assert (figure.value, figure.low, figure.high) == (1, 1, 1)
    assert "the same in every draw" in figure.note


@pytest.mark.parametrize(("reals", "fakes"), [(1, 1), (4, 40), (40, 4)])
def test_with_few_patients_of_a_class_there_is_no_interval(reals: int, fakes: int) -> None:
    figure = estimate(auc, some(reals=reals, fakes=fakes))

    assert figure.value is not None
    assert figure.low is figure.high is None
    assert figure.note.endswith("too few for an interval")


def test_what_is_undefined_is_none_with_a_reason() -> None:
    figure = estimate(auc, predictions([0, 0], [0.1, 0.2]))

    assert figure.value is figure.low is figure.high is None
    assert figure.note == "undefined on these 2 scans: none is fake"


@pytest.mark.parametrize(("reals", "is_said"), [(99, True), (100, False)])
def test_too_few_authentic_scans_for_one_percent_are_said_to_be_so(
    reals: int, is_said: bool
) -> None:
    p = some(reals=reals, fakes=20)

    figure = estimate(detection_at_1_percent_false_alarms, p, rounds=20)

    assert ("too few for 1 %" in figure.note) == is_said


# --- means ----------------------------------------------------------------------------------


def test_a_mean_has_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).random(200)

    figure = estimate_mean(values, np.arange(200).astype(np.str_))

    assert figure.value == pytest.approx(values.mean())
    assert width(figure) == pytest.approx(3.92 * values.std() / np.sqrt(200), rel=0.2)


def test_a_mean_of_few_patients_has_no_interval() -> None:
    figure = estimate_mean(np.array([0.2, 0.4]), np.array(["a", "b"]))

    assert figure.value == pytest.approx(0.3)
    assert figure.low is None


def test_a_mean_of_nothing_is_undefined() -> None:
    assert estimate_mean(np.array([]), np.array([], dtype=np.str_)).value is None


# --- falls ----------------------------------------------------------------------------------


def test_a_fall_is_that_of_the_same_scans() -> None:
    before = some(reals=100, fakes=100)
    scores = before.probabilities.copy()
    scores[100:120] = 0.1
    after = predictions(before.labels.tolist(), scores.tolist(), before.people.tolist())

    figure = estimate_fall(balanced_accuracy, before, after)

    assert figure.value == pytest.approx(balanced_accuracy(before) - balanced_accuracy(after))
    # Paired: far narrower than if both were measured on scans of their own.
    assert width(figure) < width(estimate(balanced_accuracy, before))


def test_nothing_falls_where_nothing_changes() -> None:
    figure = estimate_fall(balanced_accuracy, some(), some(), rounds=20)

    assert (figure.value, figure.low, figure.high) == (0, 0, 0)


def test_other_scans_have_no_fall() -> None:
    with pytest.raises(ValueError, match="the same scans"):
        estimate_fall(balanced_accuracy, some(), some(reals=61, fakes=89))


def test_a_fall_of_what_is_undefined_is_undefined() -> None:
    p = predictions([0, 0], [0.1, 0.2])

    assert estimate_fall(auc, p, p).value is None
