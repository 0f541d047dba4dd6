"""The rule by which reviewers settle a contested case.

A case is settled as real or fake as soon as two reviewers agree on it. It ends undecided as soon as
the answers left, of three at most, can bring no two that agree.
"""

from collections import Counter
from collections.abc import Sequence

from app.records import Opinion, Settlement

NEEDED = 2
MOST_ANSWERS = 3


def settled_as(opinions: Sequence[Opinion]) -> Settlement | None:
    """Return the outcome that answers lead to; None while more of them are needed."""
    counts = Counter(opinions)
    for opinion, outcome in ((Opinion.REAL, Settlement.REAL), (Opinion.FAKE, Settlement.FAKE)):
        if counts[opinion] >= NEEDED:
            return outcome
    left = MOST_ANSWERS - len(opinions)
    if max(counts[Opinion.REAL], counts[Opinion.FAKE]) + left < NEEDED:
        return Settlement.UNDECIDED
    return None
