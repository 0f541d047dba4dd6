"""Whether one detector is better than another, told from what both said of the same scans.

Scans of one patient are alike, so patients are what is drawn, swapped or summed over, never
single scans.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.detection.card import Estimate
from app.detection.labels import Label
from training.evaluation.intervals import LEAST_FINITE_SHARE, estimates, resamples
from training.evaluation.metrics import METRICS, Metric, Predictions, auc
from training.seeding import generator_for

ROUNDS = 1000

Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of two detectors on the same scans.

    Attributes:
        first: Of the first detector, with its interval.
        second: Of the second.
        difference: Second less first, with the interval of a paired bootstrap over patients.
        p_value: That the two are equally good, two-sided, in (0, 1]; None where undefined.
        test: What gave the p-value: ``DeLong`` or ``permutation``.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float | None
    test: str


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Scans on which exactly one of two detectors is right (McNemar 1947, exact).

    Attributes:
        only_first: Scans that the first alone has on the right side of the threshold.
        only_second: Scans that the second alone has there.
        p_value: Two-sided, from the binomial distribution. It takes scans for independent.
    """

    only_first: int
    only_second: int
    p_value: float


def compare_metrics(
    first: Predictions,
    second: Predictions,
    metrics: Mapping[str, Metric] | None = None,
    *,
    rounds: int | None = None,
) -> dict[str, Comparison]:
    """Compare two detectors by each metric.

    Args:
        first: What the first said.
        second: What the second said of the same scans, in the same order.
        metrics: By name; all where None.
        rounds: Of the bootstrap, and of the permutation test; ``ROUNDS`` where None.

    Raises:
        ValueError: Labels or patients differ.
    """
    if not (
        np.array_equal(first.labels, second.labels) and np.array_equal(first.people, second.people)
    ):
        raise ValueError("both detectors must have judged the same scans, in the same order")
    chosen = METRICS if metrics is None else metrics
    rounds = ROUNDS if rounds is None else rounds
    figures = [estimates(chosen, p, rounds=rounds) for p in (first, second)]
    drawn = _drawn_differences(first, second, chosen, rounds)
    by_delong = delong_p_value(first, second)
    permuted = {k: metric for k, metric in chosen.items() if metric is not auc or by_delong is None}
    swapped = _swapped_differences(first, second, permuted, rounds)
    return {
        name: Comparison(
            first=figures[0][name],
            second=figures[1][name],
            difference=(gap := _difference(figures[0][name], figures[1][name], drawn[name])),
            p_value=_permutation_p_value(gap.value, swapped[name])
            if name in permuted
            else by_delong,
            test="permutation" if name in permuted else "DeLong",
        )
        for name in chosen
    }


def _drawn_differences(
    first: Predictions, second: Predictions, metrics: Mapping[str, Metric], rounds: int
) -> dict[str, Figures]:
    """Return second less first on patients drawn with repetition, the same for both."""
    draws = resamples(first.people, first.labels, rounds)
    found = np.array([_differences(first.take(at), second.take(at), metrics) for at in draws])
    return dict(zip(metrics, found.T, strict=True))


def _swapped_differences(
    first: Predictions, second: Predictions, metrics: Mapping[str, Metric], rounds: int
) -> dict[str, Figures]:
    """Return second less first after what both said of random patients was swapped."""
    _, person = np.unique(first.people, return_inverse=True)
    rng = generator_for("permutation", len(first.labels), rounds)
    found = np.empty((rounds, len(metrics)))
    for number in range(rounds):
        swap = rng.random(person.max() + 1)[person] < 0.5
        found[number] = _differences(
            _mixed(first, second, swap), _mixed(second, first, swap), metrics
        )
    return dict(zip(metrics, found.T, strict=True))


def _differences(
    first: Predictions, second: Predictions, metrics: Mapping[str, Metric]
) -> list[float]:
    return [metric(second) - metric(first) for metric in metrics.values()]


def _mixed(first: Predictions, second: Predictions, swap: NDArray[np.bool_]) -> Predictions:
    return replace(
        first,
        probabilities=np.where(swap, second.probabilities, first.probabilities),
        verdicts=np.where(swap, second.verdicts, first.verdicts),
    )


def _difference(first: Estimate, second: Estimate, drawn: Figures) -> Estimate:
    if first.value is None or second.value is None:
        return Estimate(value=None, note=first.note or second.note)
    value = second.value - first.value
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < LEAST_FINITE_SHARE * len(drawn):
        return Estimate(value=value, note="too few scans for an interval")
    low, high = np.percentile(finite, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high))


def _permutation_p_value(difference: float | None, swapped: Figures) -> float | None:
    finite = swapped[np.isfinite(swapped)]
    if difference is None or len(finite) < LEAST_FINITE_SHARE * len(swapped):
        return None
    # What was observed is one of the permutations, so no p-value is 0 (Phipson and Smyth 2010).
    as_far = np.abs(finite) >= abs(difference) - 1e-12
    return float((1 + as_far.sum()) / (1 + len(finite)))


def delong_p_value(first: Predictions, second: Predictions) -> float | None:
    """Return the p-value that two AUCs on the same scans are equal.

    DeLong, DeLong and Clarke-Pearson (Biometrics 1988), with the sums over patients of Obuchowski
    ("Nonparametric analysis of clustered ROC curve data", Biometrics 1997); with one scan a
    patient both are the same.

    Returns:
        Two-sided, in (0, 1]; None with fewer than two patients of a class, or where both AUCs are
        0 or 1 and differ: then they have no spread that a difference could be held against.
    """
    fakes, reals = first.labels == Label.FAKE, first.labels == Label.REAL
    patients = [len(np.unique(first.people[of])) for of in (fakes, reals)]
    if min(patients) < 2:
        return None
    placements = np.stack([_placements(p) for p in (first, second)])
    aucs = placements[:, fakes].mean(axis=1)
    _, person = np.unique(first.people, return_inverse=True)
    deviations = (placements[1] - placements[0]) - (aucs[1] - aucs[0])
    of_fakes = np.bincount(person[fakes], deviations[fakes], person.max() + 1) / fakes.sum()
    of_reals = np.bincount(person[reals], deviations[reals], person.max() + 1) / reals.sum()
    everyone = person.max() + 1
    variance = (
        patients[0] / (patients[0] - 1) * (of_fakes**2).sum()
        + patients[1] / (patients[1] - 1) * (of_reals**2).sum()
        + 2 * everyone / (everyone - 1) * (of_fakes * of_reals).sum()
    )
    if variance <= 1e-18:
        return 1.0 if np.isclose(aucs[0], aucs[1]) else None
    return float(2 * stats.norm.sf(abs(aucs[1] - aucs[0]) / np.sqrt(variance)))


def _placements(p: Predictions) -> Figures:
    """Return of each scan the share of the other class that it is ordered rightly against."""
    fakes = p.labels == Label.FAKE
    among_all = stats.rankdata(p.probabilities)
    placements = np.empty(len(fakes))
    placements[fakes] = (among_all[fakes] - stats.rankdata(p.probabilities[fakes])) / (~fakes).sum()
    below = (among_all[~fakes] - stats.rankdata(p.probabilities[~fakes])) / fakes.sum()
    placements[~fakes] = 1 - below
    return placements


def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """Compare on which scans each detector is on the right side of the threshold."""
    right = [(p.probabilities >= p.threshold) == (p.labels == Label.FAKE) for p in (first, second)]
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    discordant = only_first + only_second
    p_value = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    return McNemar(only_first=only_first, only_second=only_second, p_value=float(p_value))
