"""Counts verdicts since the start, for those who watch the server."""

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock

from app.engine.protocol import Judgement

Adjust = Callable[[str, Judgement], Judgement]


class VerdictTally:
    """How many verdicts of each kind were reached since the start. Safe for many threads."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def counting(self, adjust: Adjust) -> Adjust:
        """Return what adjusts a judgement, by modality, as ``adjust`` does, and counts it."""

        def adjust_and_count(modality: str, judgement: Judgement) -> Judgement:
            adjusted = adjust(modality, judgement)
            with self._lock:
                self._counts[modality, adjusted.finding.verdict.value] += 1
            return adjusted

        return adjust_and_count

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return the counts by modality and verdict."""
        with self._lock:
            return dict(self._counts)
