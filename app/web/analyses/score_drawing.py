"""Where a score lies among the verdicts, and shares of a hundred, as small drawings.

The three zones are drawn wide enough to be read, whatever their extent; within a zone the place
of the mark is true to scale. That is how laboratory reports draw reference ranges.
"""

from dataclasses import dataclass

from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.web.wording import in_figures

WIDTH = 360
GAP = 3
OUTER_SHARE = 0.36
MARK_MARGIN = 5
LABEL_MARGIN = 54
DOTS_A_ROW = 20
DOT_PITCH = 10
NAMES = {
    Verdict.REAL: "authentic",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.FAKE: "deepfake",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The scores that get one verdict.

    Attributes:
        verdict: Which one.
        low: Least score, in [0, 1].
        high: Greatest score, in [0, 1].
        x: Left edge, in the units of the drawing.
        width: In the units of the drawing.
        is_here: Whether the score lies in it.
    """

    verdict: Verdict
    low: float
    high: float
    x: float
    width: float
    is_here: bool

    @property
    def name(self) -> str:
        """What the drawing calls it."""
        return NAMES[self.verdict]

    @property
    def middle(self) -> float:
        """Where its name stands."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDrawing:
    """All that the drawing shows.

    Attributes:
        zones: From authentic to fake; a verdict that no score can get has none.
        mark_x: Where the score lies.
        score: The score, in [0, 1].
    """

    zones: tuple[Zone, ...]
    mark_x: float
    score: float
    width: int = WIDTH

    @property
    def score_text(self) -> str:
        """The score in figures, never rounded to a certainty that it is not."""
        return in_figures(self.score)

    @property
    def label_x(self) -> float:
        """Where the score's own label stands, so that it does not leave the drawing."""
        return min(max(self.mark_x, LABEL_MARGIN), self.width - LABEL_MARGIN)

    @property
    def description(self) -> str:
        """The drawing in words."""
        zones = "; ".join(
            f"{zone.name} from {in_figures(zone.low)} to {in_figures(zone.high)}"
            for zone in self.zones
        )
        return f"The score is {self.score_text} on a scale from 0 to 1: {zones}."

    @property
    def boundaries(self) -> list[tuple[float, str]]:
        """Where one zone ends and the next begins, with the score there."""
        return [(round(zone.x - GAP / 2, 1), in_figures(zone.low)) for zone in self.zones[1:]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """A hundred scans as dots, some of them marked, as SVG path data.

    Attributes:
        marked: The first so many of them.
        others: The rest.
    """

    marked: str
    others: str
    width: int = DOTS_A_ROW * DOT_PITCH
    height: int = 100 // DOTS_A_ROW * DOT_PITCH


def dots(share: float) -> Dots:
    """Draw a share in [0, 1] as dots of a hundred."""
    points = [
        f"M{at % DOTS_A_ROW * DOT_PITCH + DOT_PITCH // 2} "
        f"{at // DOTS_A_ROW * DOT_PITCH + DOT_PITCH // 2}h0"
        for at in range(100)
    ]
    count = round(share * 100)
    return Dots(marked="".join(points[:count]), others="".join(points[count:]))


def draw(finding: Finding) -> ScoreDrawing:
    """Place a finding's score among the zones of its operating point.

    Raises:
        ValueError: It has no score, since the scan was not judged.
    """
    low, high = finding.inconclusive_band
    score = finding.probability_fake
    if score is None:
        raise ValueError("a scan that was not judged has no score to draw")
    extents = [
        (verdict, start, end)
        for verdict, start, end in (
            (Verdict.REAL, 0.0, low),
            (Verdict.INCONCLUSIVE, low, high),
            (Verdict.FAKE, high, 1.0),
        )
        if end > start
    ]
    drawn = [verdict for verdict, _, _ in extents]
    # Of the score alone: a verdict may have been withdrawn for other reasons.
    alone = Verdict.REAL if score < low else Verdict.FAKE if score > high else Verdict.INCONCLUSIVE
    here = alone if alone in drawn else drawn[-1]
    zones: list[Zone] = []
    x = 0.0
    for (verdict, start, end), width in zip(extents, _widths(extents), strict=True):
        zones.append(
            Zone(verdict=verdict, low=start, high=end, x=x, width=width, is_here=verdict is here)
        )
        x = round(x + width + GAP, 1)
    mark_x = next(_within(zone, score) for zone in zones if zone.is_here)
    return ScoreDrawing(zones=tuple(zones), mark_x=mark_x, score=score)


def _widths(extents: list[tuple[Verdict, float, float]]) -> list[float]:
    shares = [
        1 - 2 * OUTER_SHARE if verdict is Verdict.INCONCLUSIVE else OUTER_SHARE
        for verdict, _, _ in extents
    ]
    room = WIDTH - GAP * (len(extents) - 1)
    return [round(room * share / sum(shares), 1) for share in shares]


def _within(zone: Zone, score: float) -> float:
    share = (score - zone.low) / (zone.high - zone.low)
    x = zone.x + min(max(share, 0), 1) * zone.width
    return round(min(max(x, zone.x + MARK_MARGIN), zone.x + zone.width - MARK_MARGIN), 1)
