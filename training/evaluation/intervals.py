"""95 % intervals: a bootstrap over patients, since scans of one patient are alike.

Patients are drawn with repetition (Efron 1979) and bring all their scans. They are drawn within
strata: those with authentic scans only, with fakes only, with both. How many of each there are was
chosen by whoever put the set together, so it is no source of chance, and no draw misses a class.
An interval runs from the 2.5th to the 97.5th percentile. Two cases need care:

- with fewer than five patients of a class the spread says nothing, and no interval is given;
- a share of 0 or 1 has no spread; its interval is the exact binomial one (Clopper and Pearson 1934)
  with patients as trials, so "no error among 30" is not taken for "never an error".
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy import stats

from app.detection.card import Estimate
from app.detection.labels import Label
from training.evaluation.metrics import (
    FALSE_ALARMS,
    SHARE_AMONG,
    Metric,
    Predictions,
    detection_at_1_percent_false_alarms,
    why_undefined,
)
from training.seeding import generator_for

BOOTSTRAP_ROUNDS = 1000
LEAST_PATIENTS = 5
LEAST_FINITE_SHARE = 0.9

Positions = NDArray[np.intp]


def resamples(people: NDArray[np.str_], strata: NDArray[Any], rounds: int) -> Iterator[Positions]:
    """Yield the positions of the scans of randomly drawn patients.

    Args:
        people: Patient of each scan, shape ``[N]``.
        strata: Of each scan, shape ``[N]``. A patient belongs to the set of strata of their scans;
            as many patients are drawn from each set as it has.
        rounds: How many draws. The same scans give the same draws.
    """
    _, person = np.unique(people, return_inverse=True)
    order = np.argsort(person, kind="stable")
    scans_of = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    stratum_of = [frozenset(strata[scans].tolist()) for scans in scans_of]
    members = [
        [scans for scans, its in zip(scans_of, stratum_of, strict=True) if its == stratum]
        for stratum in sorted(set(stratum_of), key=sorted)
    ]
    rng = generator_for("bootstrap", len(people), rounds)
    for _ in range(rounds):
        yield np.concatenate(
            [group[i] for group in members for i in rng.integers(len(group), size=len(group))]
        )


def estimates(
    metrics: Mapping[str, Metric], predictions: Predictions, *, rounds: int | None = None
) -> dict[str, Estimate]:
    """Return metrics with their 95 % intervals, all from the same draws.

    Args:
        metrics: By name.
        predictions: Of the scans to measure on.
        rounds: Of the bootstrap; ``BOOTSTRAP_ROUNDS`` where None.
    """
    values = {name: metric(predictions) for name, metric in metrics.items()}
    defined = [name for name, value in values.items() if np.isfinite(value)]
    drawn: list[list[float]] = []
    if defined and _fewest_patients(predictions) >= LEAST_PATIENTS:
        draws = resamples(predictions.people, predictions.labels, _rounds(rounds))
        with _without_checks():
            for positions in draws:
                taken = predictions.take(positions)
                drawn.append([metrics[name](taken) for name in defined])
    columns = dict(zip(defined, np.array(drawn).T, strict=True)) if drawn else {}
    return {
        name: _estimate(metric, predictions, values[name], columns.get(name))
        for name, metric in metrics.items()
    }


def estimate(metric: Metric, predictions: Predictions, *, rounds: int | None = None) -> Estimate:
    """Return a metric with its 95 % interval; None with the reason where it is undefined."""
    return estimates({"it": metric}, predictions, rounds=rounds)["it"]


def estimate_mean(
    values: NDArray[np.float64], people: NDArray[np.str_], *, rounds: int | None = None
) -> Estimate:
    """Return the mean of one value a scan, with its 95 % interval.

    Args:
        values: In [0, 1], shape ``[N]``.
        people: Patient of each scan, shape ``[N]``.
        rounds: Of the bootstrap; ``BOOTSTRAP_ROUNDS`` where None.
    """
    if not len(values):
        return Estimate(value=None, note="undefined: there are no scans")
    mean, patients = float(values.mean()), len(np.unique(people))
    note = _note(len(values), patients)
    if mean in (0.0, 1.0):
        return _exact(mean, patients, note)
    if patients < LEAST_PATIENTS:
        return Estimate(value=mean, note=f"{note}, too few for an interval")
    one_stratum = np.zeros(len(values))
    drawn = [values[at].mean() for at in resamples(people, one_stratum, _rounds(rounds))]
    return _percentiles(mean, np.array(drawn), note)


def estimate_fall(
    metric: Metric, before: Predictions, after: Predictions, *, rounds: int | None = None
) -> Estimate:
    """Return how far a metric falls, ``before - after``, with the interval of a paired bootstrap.

    Args:
        metric: The larger the better.
        before: What was said of the scans as they are.
        after: What was said of the same scans, in the same order, after something was done to them.
        rounds: Of the bootstrap; ``BOOTSTRAP_ROUNDS`` where None.

    Raises:
        ValueError: They are not the same scans.
    """
    if not (
        np.array_equal(before.labels, after.labels) and np.array_equal(before.people, after.people)
    ):
        raise ValueError("before and after must be about the same scans, in the same order")
    value = metric(before) - metric(after)
    if not np.isfinite(value):
        return Estimate(value=None, note=why_undefined(metric, after))
    note = _note(len(before.labels), len(np.unique(before.people)))
    if _fewest_patients(before) < LEAST_PATIENTS:
        return Estimate(value=value, note=f"{note}, too few for an interval")
    draws = resamples(before.people, before.labels, _rounds(rounds))
    with _without_checks():
        drawn = [metric(before.take(at)) - metric(after.take(at)) for at in draws]
    return _percentiles(value, np.array(drawn), note)


def _without_checks() -> AbstractContextManager[None]:
    """Spare scikit-learn its checks of arguments, most of its time, where a draw repeats them."""
    return sklearn.config_context(assume_finite=True, skip_parameter_validation=True)


def _estimate(
    metric: Metric, p: Predictions, value: float, drawn: NDArray[np.float64] | None
) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None, note=why_undefined(metric, p))
    among = SHARE_AMONG[metric](p) if metric in SHARE_AMONG else np.ones(len(p.labels), np.bool_)
    patients = len(np.unique(p.people[among]))
    note = _note(int(among.sum()), patients)
    reals = int((p.labels == Label.REAL).sum())
    if metric is detection_at_1_percent_false_alarms and reals * FALSE_ALARMS < 1:
        note += f"; {reals} authentic scans are too few for 1 %: none of them is flagged"
    if metric in SHARE_AMONG and value in (0.0, 1.0):
        return _exact(value, patients, note)
    if drawn is None:
        return Estimate(value=value, note=f"{note}, too few for an interval")
    return _percentiles(value, drawn, note)


def _percentiles(value: float, drawn: NDArray[np.float64], note: str) -> Estimate:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < LEAST_FINITE_SHARE * len(drawn):
        return Estimate(value=value, note=f"{note}, too few for an interval")
    low, high = np.percentile(finite, [2.5, 97.5])
    if np.isclose(low, high, rtol=0, atol=1e-9):
        note += "; the same in every draw, so how rarely it differs is not known"
    return Estimate(value=value, low=float(low), high=float(high), note=note)


def _exact(value: float, patients: int, note: str) -> Estimate:
    interval = stats.binomtest(round(value) * patients, patients).proportion_ci(0.95)
    note += "; exact binomial interval over patients"
    return Estimate(value=value, low=float(interval.low), high=float(interval.high), note=note)


def _fewest_patients(p: Predictions) -> int:
    """Return the number of patients of the class that has fewest; 0 without scans."""
    return min((len(np.unique(p.people[p.labels == k])) for k in np.unique(p.labels)), default=0)


def _note(scans: int, patients: int) -> str:
    return f"{scans} scans of {patients} patients or synthetic scans"


def _rounds(rounds: int | None) -> int:
    return BOOTSTRAP_ROUNDS if rounds is None else rounds
