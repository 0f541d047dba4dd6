import itertools
import math

import numpy as np
import pytest

from app.detection.labels import Verdict
from app.detection.verdict import OperatingPoint


def point(
    temperature: float = 1.0,
    bias: float = 0.0,
    threshold: float = 0.5,
    band: tuple[float, float] = (0.2, 0.8),
) -> OperatingPoint:
    return OperatingPoint(
        temperature=temperature, bias=bias, threshold=threshold, inconclusive_band=band
    )


@pytest.mark.parametrize("temperature", [0.01, 0.7, 1, 12.5])
@pytest.mark.parametrize("bias", [-30, 0, 2.5])
def test_a_higher_logit_is_never_less_likely_fake(temperature: float, bias: float) -> None:
    logits = np.concatenate([[-1e9, -1e4], np.linspace(-60, 60, 241), [1e4, 1e9]])

    probabilities = [point(temperature, bias).probability(float(logit)) for logit in logits]

    assert all(0 <= p <= 1 for p in probabilities)
    assert all(low <= high for low, high in itertools.pairwise(probabilities))
    assert probabilities[0] == 0
    assert probabilities[-1] == 1


def test_a_higher_logit_never_turns_a_fake_into_less() -> None:
    order = [Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.FAKE]
    operating_point = point()

    ranks = [
        order.index(operating_point.verdict(operating_point.probability(logit)))
        for logit in np.linspace(-5, 5, 101)
    ]

    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_the_logit_equal_to_the_bias_is_even_odds() -> None:
    assert point(temperature=3, bias=1.5).probability(1.5) == 0.5


def test_the_probability_is_the_sigmoid_of_the_scaled_logit() -> None:
    assert math.isclose(
        point(temperature=2, bias=1).probability(4), 1 / (1 + math.exp(-1.5)), rel_tol=1e-12
    )


def test_opposite_logits_give_complementary_probabilities() -> None:
    for logit in np.linspace(0, 30, 61):
        assert math.isclose(point().probability(logit) + point().probability(-logit), 1)


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.0, Verdict.REAL),
        (math.nextafter(0.2, 0), Verdict.REAL),
        (0.2, Verdict.INCONCLUSIVE),
        (0.5, Verdict.INCONCLUSIVE),
        (0.8, Verdict.INCONCLUSIVE),
        (math.nextafter(0.8, 1), Verdict.FAKE),
        (1.0, Verdict.FAKE),
    ],
)
def test_both_ends_of_the_band_are_inconclusive(probability: float, verdict: Verdict) -> None:
    assert point().verdict(probability) is verdict


def test_a_band_over_everything_gives_no_verdict_at_all() -> None:
    everything = point(band=(0, 1))

    assert {everything.verdict(p) for p in (0.0, 0.3, 1.0)} == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"bias": math.nan}, "bias"),
        ({"bias": -math.inf}, "bias"),
        ({"threshold": 0.1}, "threshold 0.1"),
        ({"threshold": 0.9}, "threshold 0.9"),
        ({"threshold": math.nan}, "threshold nan"),
        ({"band": (0.6, 0.4)}, "low 0.6"),
        ({"band": (-0.1, 0.8)}, "low -0.1"),
        ({"band": (0.2, 1.1)}, "high 1.1"),
        ({"band": (math.nan, 0.8)}, "low nan"),
    ],
)
def test_an_impossible_operating_point_cannot_be_made(
    change: dict[str, float | tuple[float, float]], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        point(**change)  # type: ignore[arg-type]  # wrong on purpose
