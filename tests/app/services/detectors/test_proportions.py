"""Shares of scans: exact intervals, and limits that keep their promise."""

import numpy as np
import pytest

from app.services.detectors.proportions import at_most, exact_interval, most_exceeding, needed_scans


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # From the tables of Clopper and Pearson, as every statistics package gives them.
    [
        (0, 10, 0.0, 0.30850),
        (10, 10, 0.69150, 1.0),
        (1, 10, 0.00253, 0.44502),
        (5, 100, 0.01643, 0.11283),
        (50, 100, 0.39832, 0.60168),
    ],
)
def test_the_interval_is_that_of_the_tables(
    hits: int, trials: int, low: float, high: float
) -> None:
    assert exact_interval(hits, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("target", "needed"), [(0.01, 299), (0.02, 149), (0.05, 59), (0.1, 29)])
def test_so_many_scans_are_needed_and_no_fewer(target: float, needed: int) -> None:
    assert needed_scans(target) == needed
    assert most_exceeding(needed, target) == 0
    assert most_exceeding(needed - 1, target) is None


def test_a_binomial_adds_up() -> None:
    assert at_most(1, 2, 0.5) == pytest.approx(0.75)
    assert at_most(2, 2, 0.5) == 1
    assert at_most(0, 5, 0.0) == 1
    assert at_most(0, 5, 1.0) == 0


def test_a_limit_keeps_its_promise_in_95_of_100_samples() -> None:
    generator, scans, target = np.random.default_rng(0), 120, 0.05
    exceeding = most_exceeding(scans, target)
    assert exceeding == 1

    broken = 0
    for _ in range(2000):
        limit = np.sort(generator.random(scans))[scans - 1 - exceeding]
        broken += 1 - limit > target  # of uniform scores the share above a limit is known

    assert broken / 2000 < 0.06
