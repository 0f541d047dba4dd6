"""Shares of scans with what may be said of them: exact binomial intervals and limits."""

import math
from collections.abc import Callable

CONFIDENCE = 0.95
HALVINGS = 60


def exact_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, after Clopper and Pearson (Biometrika, 1934).

    Args:
        hits: How often it happened.
        trials: How often it could have, at least 1.
    """
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else _solved(lambda p: 1 - at_most(hits - 1, trials, p) - tail)
    high = 1.0 if hits == trials else _solved(lambda p: tail - at_most(hits, trials, p))
    return low, high


def most_exceeding(trials: int, target: float) -> int | None:
    """Return how many of the scans at hand may lie above a limit that is to keep its promise.

    The limit at the ``m + 1``-th largest of ``n`` scores is exceeded by a further scan with a
    probability that is at most ``target`` in 95 of 100 such samples, if ``P(Binomial(n, target)
    <= m) <= 0.05``: a one-sided tolerance limit, whatever the distribution (Wilks, Annals of
    Mathematical Statistics, 1941).

    Returns:
        The greatest such ``m``; None where there are too few scans for the promise.
    """
    allowed = None
    for exceeding in range(trials):
        if at_most(exceeding, trials, target) > 1 - CONFIDENCE:
            break
        allowed = exceeding
    return allowed


def needed_scans(target: float) -> int:
    """Return from how many scans on ``most_exceeding`` has an answer."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - target))


def at_most(hits: int, trials: int, share: float) -> float:
    """Return how likely it is that something with this probability happens at most so often."""
    if share <= 0 or hits >= trials:
        return 1.0
    if share >= 1:
        return 0.0
    log_yes, log_no = math.log(share), math.log1p(-share)
    return min(
        1.0,
        math.fsum(
            math.exp(
                math.lgamma(trials + 1)
                - math.lgamma(k + 1)
                - math.lgamma(trials - k + 1)
                + k * log_yes
                + (trials - k) * log_no
            )
            for k in range(hits + 1)
        ),
    )


def _solved(rising: Callable[[float], float]) -> float:
    """Return where a rising function crosses zero, in [0, 1]."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
