import numpy as np
import pytest
from numpy.typing import NDArray

from app.detection.labels import Label, Verdict
from training.classifiers.calibration import LEAST_BAND, calibrate
from training.errors import TooFewScansError

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


def scans(
    *, temperature: float, bias: float, reals: int = 4000, fakes: int = 4000, spread: float = 1.0
) -> tuple[Logits, Labels]:
    """Draw logits that this temperature and bias turn into true probabilities.

    Two normal distributions with the means ``bias ± d`` and one variance have the log-likelihood
    ratio ``2 d (logit - bias) / variance``, so the temperature is ``variance / (2 d)``.
    """
    rng = np.random.default_rng(0)
    distance = spread**2 / (2 * temperature)
    logits = np.concatenate(
        [rng.normal(bias - distance, spread, reals), rng.normal(bias + distance, spread, fakes)]
    )
    return logits, np.repeat([Label.REAL, Label.FAKE], [reals, fakes]).astype(np.int64)


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (0.5, 1.0), (3.0, -2.0)])
def test_a_known_temperature_and_bias_are_found(temperature: float, bias: float) -> None:
    point = calibrate(*scans(temperature=temperature, bias=bias, spread=2.0), max_error=0.05)

    assert point.temperature == pytest.approx(temperature, rel=0.1)
    assert point.bias == pytest.approx(bias, abs=0.15)
    assert point.threshold == 0.5


def test_a_class_with_few_scans_weighs_as_much_as_one_with_many() -> None:
    logits, labels = scans(temperature=1.0, bias=0.5, reals=1000, fakes=8000)

    point = calibrate(logits, labels, max_error=0.05)

    assert point.bias == pytest.approx(0.5, abs=0.15)


def test_probabilities_are_as_often_right_as_they_say() -> None:
    logits, labels = scans(temperature=2.0, bias=-1.0, spread=3.0)

    point = calibrate(logits, labels, max_error=0.05)

    probabilities = np.array([point.probability(float(logit)) for logit in logits])
    for low in np.arange(0, 1, 0.2):
        inside = (probabilities >= low) & (probabilities < low + 0.2)
        assert labels[inside].mean() == pytest.approx(probabilities[inside].mean(), abs=0.05)


@pytest.mark.parametrize("max_error", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("count", [20, 99, 1000])
def test_each_error_rate_outside_the_band_is_at_most_what_was_asked_for(
    max_error: float, temperature: float, count: int
) -> None:
    logits, labels = scans(temperature=temperature, bias=0.7, reals=count, fakes=3 * count)

    point = calibrate(logits, labels, max_error=max_error)

    verdicts = np.array([point.verdict(point.probability(float(logit))) for logit in logits])
    assert (verdicts[labels == Label.REAL] == Verdict.FAKE).mean() <= max_error
    assert (verdicts[labels == Label.FAKE] == Verdict.REAL).mean() <= max_error


def test_the_band_is_no_wider_than_it_has_to_be() -> None:
    logits, labels = scans(temperature=1.0, bias=0.0)

    point = calibrate(logits, labels, max_error=0.01)

    verdicts = np.array([point.verdict(point.probability(float(logit))) for logit in logits])
    assert (verdicts[labels == Label.REAL] == Verdict.FAKE).mean() == pytest.approx(0.01, abs=0.001)
    assert (verdicts[labels == Label.FAKE] == Verdict.REAL).mean() == pytest.approx(0.01, abs=0.001)


def test_a_perfect_detector_gives_a_verdict_on_every_scan() -> None:
    labels = np.repeat([0, 1], 50)
    logits = np.where(labels == Label.FAKE, 4.0, -4.0) + np.linspace(0, 1, 100)

    point = calibrate(logits, labels, max_error=0.01)

    verdicts = [point.verdict(point.probability(float(logit))) for logit in logits]
    assert verdicts == [Verdict.REAL] * 50 + [Verdict.FAKE] * 50
    assert point.inconclusive_band == LEAST_BAND


def test_classes_that_validation_happens_to_separate_do_not_make_every_score_a_certainty() -> None:
    labels = np.repeat([0, 1], 50)
    logits = np.where(labels == Label.FAKE, 4.0, -4.0) + np.linspace(0, 1, 100)

    point = calibrate(logits, labels, max_error=0.01)

    assert point.verdict(point.probability(0.0)) is Verdict.INCONCLUSIVE
    assert point.probability(4.0) < 0.999


@pytest.mark.parametrize("kind", ["inverted", "constant", "by chance"])
def test_a_detector_that_knows_nothing_claims_nothing(kind: str) -> None:
    logits, labels = scans(temperature=1.0, bias=0.0, reals=200, fakes=200)
    useless = {
        "inverted": -logits,
        "constant": np.zeros_like(logits),
        "by chance": np.random.default_rng(1).normal(size=400),
    }[kind]

    point = calibrate(useless, labels, max_error=0.01)

    probabilities = [point.probability(float(logit)) for logit in useless]
    assert np.abs(np.array(probabilities) - 0.5).max() < 0.3
    wrong = [
        point.verdict(p) is (Verdict.FAKE if label == Label.REAL else Verdict.REAL)
        for p, label in zip(probabilities, labels, strict=True)
    ]
    assert np.mean(wrong) <= 0.01


@pytest.mark.parametrize(("reals", "fakes"), [(19, 500), (500, 19), (0, 40), (0, 0)])
def test_too_few_scans_of_a_class_are_refused_with_their_numbers(reals: int, fakes: int) -> None:
    logits, labels = scans(temperature=1.0, bias=0.0, reals=reals, fakes=fakes)

    with pytest.raises(TooFewScansError, match=f"{reals} authentic and {fakes} fake"):
        calibrate(logits, labels, max_error=0.01)


def test_twenty_scans_of_each_class_are_enough() -> None:
    calibrate(*scans(temperature=1.0, bias=0.0, reals=20, fakes=20), max_error=0.01)
