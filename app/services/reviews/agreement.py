"""How far reviewers and the detector agree, counted over the settled cases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from app.detection.labels import Verdict
from app.records import Settlement
from app.storage.reviews import ReviewStore, SettledCase

VERDICTS = (Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.FAKE)
SETTLEMENTS = (Settlement.REAL, Settlement.UNDECIDED, Settlement.FAKE)
_SAME = {Verdict.REAL: Settlement.REAL, Verdict.FAKE: Settlement.FAKE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Counts over the settled cases of one modality.

    Attributes:
        cases: Cases by the detector's verdict and the reviewers' outcome.
        pairs: How often two reviewers answered the same case.
        pairs_alike: How often those two said the same.
    """

    modality: str
    cases: Mapping[tuple[Verdict, Settlement], int]
    pairs: int
    pairs_alike: int

    @property
    def total(self) -> int:
        """How many cases are settled."""
        return sum(self.cases.values())

    @property
    def decided(self) -> int:
        """How many cases have both a verdict of the detector and an outcome, real or fake."""
        return sum(
            self.cases.get((verdict, settlement), 0)
            for verdict in _SAME
            for settlement in _SAME.values()
        )

    @property
    def upheld(self) -> int:
        """In how many of those the reviewers found what the detector had found."""
        return sum(self.cases.get(pair, 0) for pair in _SAME.items())


class AgreementService:
    """Counts what became of the contested verdicts."""

    def __init__(self, store: ReviewStore) -> None:
        self._store = store

    def by_modality(self) -> list[Agreement]:
        """Return the counts of each modality that has settled cases, by its key."""
        settled = self._store.settled()
        return [
            _counted(modality, [item for item in settled if item.case.modality == modality])
            for modality in sorted({item.case.modality for item in settled})
        ]


def _counted(modality: str, settled: Sequence[SettledCase]) -> Agreement:
    pairs = [pair for item in settled for pair in combinations(item.opinions, 2)]
    return Agreement(
        modality=modality,
        cases=Counter(
            (item.verdict, item.case.outcome) for item in settled if item.case.outcome is not None
        ),
        pairs=len(pairs),
        pairs_alike=sum(one is other for one, other in pairs),
    )
