"""How reviewers and the detector agree, as the coordinates of a bar for each verdict."""

from dataclasses import dataclass

from app.detection.labels import Verdict
from app.records import Settlement
from app.services.reviews.agreement import SETTLEMENTS, VERDICTS, Agreement
from app.web.offers import title_of
from app.web.wording import LABELS

WIDTH = 440
LABEL_WIDTH = 124  # holds the longest label at the size that a phone needs
BAR_HEIGHT = 30
PITCH = 46
ROOM = WIDTH - LABEL_WIDTH
LEAST_WIDTH_OF_A_FIGURE = 18

FOUND = {
    Settlement.REAL: "authentic",
    Settlement.UNDECIDED: "undecided",
    Settlement.FAKE: "deepfake",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The cases of one verdict that ended alike.

    Attributes:
        tone: Ending of the CSS class.
        x: Left edge, in the units of the drawing.
        width: In the units of the drawing.
    """

    settlement: Settlement
    count: int
    tone: str
    x: float
    width: float

    @property
    def has_figure(self) -> bool:
        """Whether the count fits on it."""
        return self.width >= LEAST_WIDTH_OF_A_FIGURE

    @property
    def middle(self) -> float:
        """Where the count stands."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The cases of one verdict of the detector.

    Attributes:
        label: The verdict in a word.
        counts: Cases by how they ended, in the order of ``SETTLEMENTS``.
        y: Upper edge, in the units of the drawing.
    """

    label: str
    counts: tuple[int, ...]
    y: int
    pieces: tuple[Piece, ...]

    @property
    def total(self) -> int:
        """How many cases there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementDrawing:
    """Everything that the chart of one modality shows."""

    title: str
    agreement: Agreement
    bars: tuple[Bar, ...]
    width: int = WIDTH
    label_width: int = LABEL_WIDTH
    bar_height: int = BAR_HEIGHT

    @property
    def height(self) -> int:
        """Of the whole drawing."""
        return PITCH * len(self.bars)

    @property
    def description(self) -> str:
        """The drawing in words."""
        return f"{self.title}: " + "; ".join(
            f"of {bar.total} contested with the verdict {bar.label.lower()}, the reviewers found "
            + ", ".join(
                f"{count} {FOUND[settlement]}"
                for settlement, count in zip(SETTLEMENTS, bar.counts, strict=True)
            )
            for bar in self.bars
        )


def draw_agreement(agreement: Agreement) -> AgreementDrawing:
    """Place the counts of a modality; the longest bar takes all the room."""
    totals = {verdict: sum(_counts(agreement, verdict)) for verdict in VERDICTS}
    unit = ROOM / max(1, *totals.values())
    return AgreementDrawing(
        title=title_of(agreement.modality),
        agreement=agreement,
        bars=tuple(
            Bar(
                label=LABELS[verdict],
                counts=_counts(agreement, verdict),
                y=row * PITCH + (PITCH - BAR_HEIGHT) // 2,
                pieces=_pieces(_counts(agreement, verdict), unit),
            )
            for row, verdict in enumerate(VERDICTS)
        ),
    )


def _counts(agreement: Agreement, verdict: Verdict) -> tuple[int, ...]:
    return tuple(agreement.cases.get((verdict, settlement), 0) for settlement in SETTLEMENTS)


def _pieces(counts: tuple[int, ...], unit: float) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    x = float(LABEL_WIDTH)
    for settlement, count in zip(SETTLEMENTS, counts, strict=True):
        if count:
            width = round(count * unit, 1)
            pieces.append(
                Piece(settlement=settlement, count=count, tone=settlement.value, x=x, width=width)
            )
            x = round(x + width, 1)
    return tuple(pieces)
