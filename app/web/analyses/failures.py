"""Where a detector errs most, from its card: the failures that a verdict of it may repeat."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.detection.card import Card, Estimate, Slice
from app.detection.labels import Verdict
from app.detection.titles import heading_of_data, title_of_data
from app.web.wording import of_hundred, scans_behind, whole_interval

SOURCE_METRIC = "false_alarm_rate_"
HEADINGS = {
    "generator": "Fakes, by how they were made",
    "edit_size": "Tampered scans, by the size of the edit",
    "source": "Authentic scans, by where they come from",
}
WRONG = {"generator": "authentic", "edit_size": "authentic", "source": "fake"}
"""What the scans of each kind of slice are called when the verdict is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """One kind of scan and how often the detector fails on it.

    Attributes:
        words: How often it got the opposite verdict and how often none, of a hundred.
        scans: On how many that stands, such as ``10 scans of 5 patients``.
        wrong: Share with the opposite verdict, in [0, 1], for the drawing.
        undecided: Share without a verdict, in [0, 1], for the drawing.
    """

    name: str
    words: str
    scans: str
    wrong: float
    undecided: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """The kinds of scan that share a heading, the worst first."""

    heading: str
    rows: tuple[FailureRow, ...]


def failure_groups(card: Card) -> list[FailureGroup]:
    """Return how often the detector fails on each kind of scan of its test side."""
    slices = _slices_of(card)
    groups = []
    for kind, heading in HEADINGS.items():
        found = sorted((item for item in slices if item.kind == kind), key=_badness, reverse=True)
        if found:
            groups.append(FailureGroup(heading=heading, rows=tuple(map(_row, found))))
    return groups


def likeliest_failure(card: Card, verdict: Verdict) -> str:
    """Say where verdicts like this one have been wrong most often, or where there was none.

    Returns:
        A sentence; empty where the card knows of no such failure.
    """
    kind = {Verdict.REAL: "generator", Verdict.FAKE: "source"}.get(verdict)
    if kind is None:
        return _most_undecided(card)
    slices = [item for item in _slices_of(card) if item.kind == kind and item.wrong.value]
    if not slices:
        return ""
    worst = max(slices, key=_badness)
    beginning = "Misses" if kind == "generator" else "False alarms"
    return f"{beginning} are most frequent among {_described(worst)}: {_wrong_words(worst)}."


def _most_undecided(card: Card) -> str:
    slices = [item for item in _slices_of(card) if item.undecided.value]
    if not slices:
        return ""
    worst = max(slices, key=lambda item: item.undecided.value or 0.0)
    described, count = _described(worst), of_hundred(worst.undecided.value or 0.0)
    beginning = f"{described[0].upper()}{described[1:]}"
    return f"{beginning} are left without a verdict most often: {count} of 100."


def _slices_of(card: Card) -> Sequence[Slice]:
    """Return the slices of a card; from its metrics where it was written before there were any."""
    if card.slices:
        return card.slices
    return [
        Slice(
            kind="source",
            name=name.removeprefix(SOURCE_METRIC),
            wrong=estimate,
            undecided=Estimate(value=None),
        )
        for name, estimate in card.metrics.items()
        if name.startswith(SOURCE_METRIC)
    ]


def _badness(item: Slice) -> tuple[float, float]:
    return item.wrong.value or 0.0, item.undecided.value or 0.0


def _described(item: Slice) -> str:
    if item.kind == "source":
        return f"authentic scans from {title_of_data(item.name)}"
    if item.kind == "edit_size":
        return f"edits of the size “{item.name}”"
    return f"fakes of the kind “{title_of_data(item.name)}”"


def _wrong_words(item: Slice) -> str:
    if item.wrong.value is None:
        return "not measured"
    interval = whole_interval(item.wrong)
    words = f"{of_hundred(item.wrong.value)} of 100 called {WRONG[item.kind]}"
    return f"{words} (95 % interval {interval})" if interval else words


def _row(item: Slice) -> FailureRow:
    words = _wrong_words(item)
    if item.undecided.value is not None:
        words += f", {of_hundred(item.undecided.value)} without a verdict"
    return FailureRow(
        name=heading_of_data(item.name),
        words=words,
        scans=scans_behind(item.wrong),
        wrong=item.wrong.value or 0.0,
        undecided=item.undecided.value or 0.0,
    )
