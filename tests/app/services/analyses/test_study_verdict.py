"""The verdict on a study: what chance explains, and what it does not."""

import random
from fractions import Fraction
from math import comb

import pytest

from app.detection.card import Estimate
from app.detection.labels import Verdict
from app.services.analyses.study_verdict import fakes_by_chance, run_beyond_chance, study_finding

F, R, U, N = Verdict.FAKE, Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.NOT_JUDGED
RATE = Estimate(value=0.02, low=0.0, high=0.045)


def quantile(slices: int, rate: float) -> int:
    """Return how many false alarms 95 % of series do not exceed, counted exactly."""
    hit, below = Fraction(rate), Fraction(0)
    for count in range(slices + 1):
        below += comb(slices, count) * hit**count * (1 - hit) ** (slices - count)
        if below >= Fraction(95, 100):
            return count
    return slices


def verdict(slices: list[Verdict], rate: Estimate | None = RATE) -> Verdict:
    return study_finding(slices, rate).verdict


@pytest.mark.parametrize("slices", [1, 2, 10, 40, 300])
@pytest.mark.parametrize("rate", [1e-6, 0.015, 0.045, 0.4])
def test_what_chance_explains_is_the_quantile_of_the_binomial(slices: int, rate: float) -> None:
    assert fakes_by_chance(slices, rate) == quantile(slices, rate)


def test_a_run_beyond_chance_is_rarer_than_one_in_a_hundred_series() -> None:
    length = run_beyond_chance(300, 0.045)

    assert length == 4
    assert 300 * 0.045**length < 0.01 <= 300 * 0.045 ** (length - 1)


def test_an_authentic_series_of_three_hundred_slices_is_not_flagged_by_chance() -> None:
    dice = random.Random(0)
    verdicts = [
        verdict(dice.choices([F, R, U], weights=[0.02, 0.5, 0.48], k=300)) for _ in range(300)
    ]

    assert Verdict.FAKE not in verdicts
    assert verdicts.count(Verdict.REAL) > 290


def test_a_series_in_which_every_slice_is_a_fake_is_one_though_many_cannot_be_told() -> None:
    assert verdict([F, U] * 150) is Verdict.FAKE


def test_a_forged_region_in_a_few_neighbouring_slices_is_not_called_authentic() -> None:
    assert verdict([R] * 150 + [F] * 4 + [R] * 146) is Verdict.INCONCLUSIVE
    assert verdict([R, R, F, R, R] * 1 + [R] * 295) is Verdict.REAL


def test_errors_that_neighbours_share_do_not_make_a_deepfake() -> None:
    assert verdict([F] * 60 + [R] * 240) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([], Verdict.NOT_JUDGED),
        ([N, N], Verdict.NOT_JUDGED),
        ([R, R], Verdict.REAL),
        ([F, F], Verdict.FAKE),
        ([F, R], Verdict.INCONCLUSIVE),
        ([F, R, R], Verdict.INCONCLUSIVE),
        ([U, U, U, U, R], Verdict.INCONCLUSIVE),
        ([U, U, R], Verdict.REAL),
        ([U] * 10, Verdict.INCONCLUSIVE),
        ([N] * 10 + [R, R], Verdict.REAL),
    ],
)
def test_short_series_are_judged_with_care(slices: list[Verdict], expected: Verdict) -> None:
    assert verdict(slices) is expected


def test_a_slice_that_was_not_judged_does_not_interrupt_a_run() -> None:
    assert study_finding([F, F, N, F, F, R], RATE).longest_run == 4


@pytest.mark.parametrize("rate", [None, Estimate(value=None, low=None, high=None)])
def test_without_a_known_rate_a_single_fake_keeps_a_study_from_being_authentic(
    rate: Estimate | None,
) -> None:
    assert verdict([R] * 299 + [F], rate) is Verdict.INCONCLUSIVE
    assert verdict([R] * 300, rate) is Verdict.REAL
    assert verdict([F] * 300, rate) is Verdict.FAKE


def test_a_rate_without_an_interval_is_taken_as_it_is() -> None:
    finding = study_finding([R] * 300, Estimate(value=0.04, low=None, high=None))

    assert finding.false_alarm_rate == 0.04
    assert finding.chance_fakes == quantile(300, 0.04)
    assert finding.needed_for_fake == 75
