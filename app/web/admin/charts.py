"""Charts as the coordinates that a template draws; each has its numbers in a table as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from app.detection.card import Estimate
from app.detection.labels import Verdict
from app.services.detectors.calibration import Calibration
from app.services.detectors.drift import SCORE_EDGES, DriftReport

WIDTH = 360
HEIGHT = 200
LEFT = 30
TOP = 10
BOTTOM = 24
GAP_SHARE = 0.25
LABELS_APART = 3
SCORE_BINS = 20
WHISKER_WIDTH = 120
WHISKER_MARGIN = 4
NAMES = {
    Verdict.REAL: "authentic",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.FAKE: "deepfake",
    Verdict.NOT_JUDGED: "not judged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle.

    Attributes:
        tone: Last word of its class.
    """

    x: float
    y: float
    width: float
    height: float
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis: where it is, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An upright line: where it is, and the last word of its class."""

    at: float
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What charts have in common.

    Attributes:
        table: The numbers: a row each, the first cell naming it.
        heads: Of the columns of the table.
    """

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    heads: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    width: int = WIDTH
    height: int = HEIGHT
    lines: tuple[Line, ...] = ()
    left: int = LEFT
    top: int = TOP
    floor: int = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Chart):
    """Counts of each verdict, stacked, a column a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram(Chart):
    """Two distributions of scores: bars for the newer one, a line of steps for the older.

    Attributes:
        steps: Points of the line.
    """

    steps: str


def columns_of(starts: Sequence[date], weeks: Sequence[Mapping[Verdict, int]]) -> Columns:
    """Return stacked columns of what each week's scans were called."""
    top = _round_up(max(sum(week.values()) for week in weeks))
    slot = (WIDTH - LEFT) / len(weeks)
    bars = []
    for i, week in enumerate(weeks):
        below = 0
        for verdict, count in week.items():
            if count:
                bars.append(
                    Bar(
                        x=round(LEFT + slot * (i + GAP_SHARE / 2), 1),
                        y=_y((below + count) / top),
                        width=round(slot * (1 - GAP_SHARE), 1),
                        height=round(_y(below / top) - _y((below + count) / top), 1),
                        tone=verdict.value,
                    )
                )
            below += count
    return Columns(
        bars=tuple(bars),
        x_ticks=tuple(
            Tick(at=round(LEFT + slot * (i + 0.5), 1), label=f"{start.day} {start:%b}")
            for i, start in enumerate(starts)
            if i % LABELS_APART == 0
        ),
        y_ticks=tuple(Tick(at=_y(share), label=f"{top * share:g}") for share in (0, 0.5, 1)),
        heads=("Week from", *(NAMES[verdict].capitalize() for verdict in weeks[0])),
        table=tuple(
            (f"{start.day} {start:%B %Y}", *map(str, week.values()))
            for start, week in zip(starts, weeks, strict=True)
        ),
    )


def histogram_of(report: DriftReport) -> Histogram:
    """Return the scores of the newest scans over those of the oldest."""
    old, new = report.reference_shares, report.recent_shares
    top = _round_up(100 * max((*old, *new, 0.1))) / 100
    slot = (WIDTH - LEFT) / (len(SCORE_EDGES) - 1)
    bars = tuple(
        Bar(
            x=round(LEFT + slot * (i + GAP_SHARE / 2), 1),
            y=_y(share / top),
            width=round(slot * (1 - GAP_SHARE), 1),
            height=round(_y(0) - _y(share / top), 1),
            tone="recent",
        )
        for i, share in enumerate(new)
    )
    points = [
        (LEFT + slot * (i + side), _y(share / top))
        for i, share in enumerate(old)
        for side in (0, 1)
    ]
    return Histogram(
        bars=bars,
        steps=" ".join(f"{x:.1f},{y}" for x, y in points),
        x_ticks=tuple(
            Tick(at=round(LEFT + slot * i, 1), label=f"{edge:g}")
            for i, edge in enumerate(SCORE_EDGES)
            if i % 5 == 0
        ),
        y_ticks=tuple(
            Tick(at=_y(share), label=f"{100 * top * share:g} %") for share in (0, 0.5, 1)
        ),
        heads=("Score", "At first", "Lately"),
        table=tuple(
            (f"{low:.1f} to {high:.1f}", f"{100 * first:.1f} %", f"{100 * last:.1f} %")
            for low, high, first, last in zip(SCORE_EDGES, SCORE_EDGES[1:], old, new, strict=False)
        ),
    )


def scores_of(known: Calibration) -> Chart:
    """Return how the scores of a site's authentic scans are distributed, with the limits."""
    counts = [0] * SCORE_BINS
    for score in known.scores:
        counts[min(int(score * SCORE_BINS), SCORE_BINS - 1)] += 1
    top = _round_up(max(*counts, 1))
    slot = (WIDTH - LEFT) / SCORE_BINS
    own = known.card.operating_point.inconclusive_band[1]
    lines = [Line(at=round(LEFT + own * (WIDTH - LEFT), 1), tone="own")]
    if known.limit:
        at = round(LEFT + known.limit.fake_above * (WIDTH - LEFT), 1)
        lines.append(Line(at=at, tone="site"))
    return Chart(
        bars=tuple(
            Bar(
                x=round(LEFT + slot * (i + GAP_SHARE / 2), 1),
                y=_y(count / top),
                width=round(slot * (1 - GAP_SHARE), 1),
                height=round(_y(0) - _y(count / top), 1),
                tone="recent",
            )
            for i, count in enumerate(counts)
        ),
        lines=tuple(lines),
        x_ticks=tuple(
            Tick(at=round(LEFT + share * (WIDTH - LEFT), 1), label=f"{share:g}")
            for share in (0, 0.25, 0.5, 0.75)
        ),
        y_ticks=tuple(Tick(at=_y(share), label=f"{top * share:g}") for share in (0, 0.5, 1)),
        heads=("Score", "Scans"),
        table=tuple(
            (f"{i / SCORE_BINS:.2f} to {(i + 1) / SCORE_BINS:.2f}", str(count))
            for i, count in enumerate(counts)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """A figure in [0, 1] with its interval on a small scale of its own."""

    low: float
    value: float
    high: float
    width: int = WHISKER_WIDTH


def whisker_of(estimate: Estimate) -> Whisker | None:
    """Return where a figure and its interval lie; None where it is no share or has no interval."""
    numbers = (estimate.low, estimate.value, estimate.high)
    if any(number is None or not 0 <= number <= 1 for number in numbers):
        return None
    low, value, high = (
        round(WHISKER_MARGIN + (number or 0.0) * (WHISKER_WIDTH - 2 * WHISKER_MARGIN), 1)
        for number in numbers
    )
    return Whisker(low=low, value=value, high=high)


def _y(share: float) -> float:
    return round(TOP + (HEIGHT - BOTTOM - TOP) * (1 - share), 1)


def _round_up(count: float) -> float:
    """Return the next of the numbers 2, 4, 6, 8, 10, 20, 40, 60 and so on."""
    step = 1.0
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * step >= count:
                return factor * step
        step *= 10
