"""Whether the scores and verdicts of a detector have moved since it began to serve.

The oldest scans that a checkpoint judged on this server are compared with the newest. How far the
two lie apart is told by the population stability index (Lewis, "An Introduction to Credit
Scoring", 1994): the sum of ``(p - q) ln(p / q)`` over the bins, ``p`` and ``q`` being the shares.
Whether chance alone would do that is told by a permutation test. An alarm needs both, so that
neither a few scans nor a great many of them raise it for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.detection.labels import Verdict
from app.storage.statistics import Judged, StatisticsStore

REFERENCE_SCANS = 500
RECENT_SCANS = 200
MIN_REFERENCE_SCANS = 200
MIN_RECENT_SCANS = 100
SCORE_BINS = 10
LARGE_SHIFT = 0.2
"""From this index on a population is commonly taken to have changed."""
CHANCE_LEVEL = 0.001
"""An alarm is raised only where chance would do the same less often than this."""
PERMUTATIONS = 4000
SMOOTHING = 0.5
SEED = 20261120
VERDICTS = (Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.FAKE, Verdict.NOT_JUDGED)
SCORE_EDGES = tuple(i / SCORE_BINS for i in range(SCORE_BINS + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far two groups of scans lie apart.

    Attributes:
        index: Population stability index, at least 0; 0 where they are alike.
        chance: How often chance alone sets two such groups as far apart, in [0, 1].
    """

    index: float
    chance: float

    @property
    def is_alarming(self) -> bool:
        """Whether it is large and no chance."""
        return self.index >= LARGE_SHIFT and self.chance < CHANCE_LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What a comparison of the oldest with the newest scans of a checkpoint gave.

    Attributes:
        reference: How many of the oldest scans were compared.
        recent: How many of the newest.
        scores: Of the scores; None where there are too few scans yet.
        verdicts: Of the verdicts; None where there are too few scans yet.
        reference_shares: Share of the oldest scans in each tenth of the scale of scores.
        recent_shares: Share of the newest scans in each tenth.
    """

    reference: int
    recent: int
    scores: Shift | None = None
    verdicts: Shift | None = None
    reference_shares: tuple[float, ...] = ()
    recent_shares: tuple[float, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether there were enough scans to compare."""
        return self.verdicts is not None

    @property
    def alarms(self) -> tuple[str, ...]:
        """A sentence for each thing that has moved."""
        found = []
        if self.scores and self.scores.is_alarming:
            found.append("The scores are distributed otherwise than when this detector began.")
        if self.verdicts and self.verdicts.is_alarming:
            found.append("The shares of the verdicts differ from when this detector began.")
        return tuple(found)


class DriftService:
    """Compares what a checkpoint says now with what it said at first.

    Args:
        statistics: Has the scores.
    """

    def __init__(self, statistics: StatisticsStore) -> None:
        self._statistics = statistics

    def report(self, modality: str, weights_sha256: str) -> DriftReport:
        """Compare the oldest scans that these weights judged with the newest; none is in both.

        Raises:
            StorageError: The database cannot be read.
        """
        total = self._statistics.count_judged(modality, weights_sha256)
        recent_size = min(RECENT_SCANS, max(0, total - MIN_REFERENCE_SCANS))
        reference_size = min(REFERENCE_SCANS, total - recent_size)
        if recent_size < MIN_RECENT_SCANS:
            return DriftReport(reference=reference_size, recent=recent_size)
        reference = self._statistics.judged(
            modality, weights_sha256, limit=reference_size, newest=False
        )
        recent = self._statistics.judged(modality, weights_sha256, limit=recent_size, newest=True)
        return compare(reference, recent)


def compare(reference: Sequence[Judged], recent: Sequence[Judged]) -> DriftReport:
    """Compare two groups of scans."""
    old, new = _scores(reference), _scores(recent)
    edges = _edges(old)
    return DriftReport(
        reference=len(reference),
        recent=len(recent),
        scores=shift(_counts(old, edges), _counts(new, edges)) if len(old) and len(new) else None,
        verdicts=shift(_verdict_counts(reference), _verdict_counts(recent)),
        reference_shares=_shares(old),
        recent_shares=_shares(new),
    )


def shift(reference: NDArray[np.int64], recent: NDArray[np.int64]) -> Shift:
    """Return how far apart two groups lie, given how many of each are in which bin, ``[B]``."""
    found = float(_index(reference, recent[np.newaxis])[0])
    pooled = reference + recent
    generator = np.random.default_rng(SEED)  # the same scans always get the same answer
    drawn = generator.multivariate_hypergeometric(pooled, int(recent.sum()), size=PERMUTATIONS)
    by_chance = _index(pooled - drawn, drawn)
    exceeding = int(np.count_nonzero(by_chance >= found - 1e-12))
    return Shift(index=found, chance=(exceeding + 1) / (PERMUTATIONS + 1))


def _index(reference: NDArray[np.int64], recent: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the population stability index of each row, counts ``[..., B]``."""
    bins = recent.shape[-1]
    p = (reference + SMOOTHING) / (reference.sum(axis=-1, keepdims=True) + SMOOTHING * bins)
    q = (recent + SMOOTHING) / (recent.sum(axis=-1, keepdims=True) + SMOOTHING * bins)
    index: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(axis=-1)
    return index


def _scores(judged: Sequence[Judged]) -> NDArray[np.float64]:
    return np.array([one.probability for one in judged if one.probability is not None])


def _edges(reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return inner edges of bins that hold a tenth of the reference each, as far as ties let."""
    if not len(reference):
        return np.array([])
    edges: NDArray[np.float64] = np.unique(np.quantile(reference, SCORE_EDGES[1:-1]))
    return edges


def _counts(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bincount(
        np.searchsorted(edges, scores), minlength=len(edges) + 1
    )
    return counts


def _verdict_counts(judged: Sequence[Judged]) -> NDArray[np.int64]:
    return np.array([sum(one.verdict is verdict for one in judged) for verdict in VERDICTS])


def _shares(scores: NDArray[np.float64]) -> tuple[float, ...]:
    if not len(scores):
        return ()
    counts, _ = np.histogram(scores, bins=SCORE_EDGES)
    return tuple(float(share) for share in counts / len(scores))
