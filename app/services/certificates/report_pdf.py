"""The pages of a report: a scan, its heatmap, the verdict in words, and what lies behind it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.util import Padding
from PIL import Image

from app.services.decoding import pictures

ATTACHMENT_NAME = "report.json"
MAX_PICTURE_SIDE = 720  # pixels; printed at 83 mm that is 220 dots an inch
ENCODING = "windows-1252"  # of the fonts that every reader of PDF has

MARGIN_MM = 18.0
GAP_MM = 8.0
PICTURE_MM = (210 - 2 * MARGIN_MM - GAP_MM) / 2
LINE_MM = 4.9
LABEL_MM = 38.0

Colour = tuple[int, int, int]
INK: Colour = (15, 25, 31)
SOFT: Colour = (71, 85, 93)
LINE: Colour = (200, 208, 213)
ACCENT: Colour = (10, 90, 113)
STAGE: Colour = (4, 8, 10)
# Text and ground of each verdict, as on the page.
TONES: dict[str, tuple[Colour, Colour]] = {
    "real": ((18, 100, 63), (227, 242, 234)),
    "fake": ((163, 34, 27), (251, 232, 230)),
    "inconclusive": ((127, 77, 0), (251, 240, 218)),
}
NO_TONE: tuple[Colour, Colour] = ((71, 85, 93), (230, 235, 237))


@dataclass(frozen=True, slots=True)
class Style:
    """How a text looks."""

    colour: Colour
    size_pt: float
    is_bold: bool = False
    family: str = "helvetica"


WORDMARK = Style(ACCENT, 15, is_bold=True)
HEADING = Style(INK, 11.5, is_bold=True)
BODY = Style(INK, 10)
LABEL = Style(SOFT, 9.5)
CODE = Style(INK, 9.5, family="courier")
SMALL = Style(SOFT, 8.5)
NOTICE = Style(INK, 8.5, is_bold=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the pages say.

    Attributes:
        title: The kind of scan.
        tone: The verdict, which gives the colour.
        headline: The verdict in a sentence.
        advice: What to do now.
        certainty: What the score means; empty without a score.
        rates: How often the detector errs, a sentence each; empty where its card is gone.
        reasons: Why the verdict is as it is.
        limits: What the detector cannot do.
        findings: Names and values of the verdict itself.
        facts: Tables of name and value on what it rests on, each under a heading.
        notice: What every report says.
        how_to_check: How a reader finds out whether the report is genuine.
    """

    title: str
    tone: str
    headline: str
    advice: str
    certainty: str
    rates: Sequence[str]
    reasons: Sequence[str]
    limits: Sequence[str]
    findings: Sequence[tuple[str, str]]
    facts: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    notice: str
    how_to_check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures of an analysis, as PNG.

    Attributes:
        scan: Grey, of 8 or 16 bits.
        heatmap: Of colours to be laid over the scan; None where there is none.
    """

    scan: bytes
    heatmap: bytes | None


def draw_report(words: Words, drawn: Pictures, *, attachment: bytes, made: datetime) -> bytes:
    """Return the report as PDF.

    Args:
        words: What it says; a character that the fonts lack becomes a question mark.
        drawn: The scan and its heatmap.
        attachment: The signed report, which travels inside as it is, not compressed.
        made: When the scan was judged, which the document gives as its date.
    """
    pdf = _Pages(words)
    pdf.set_creation_date(made)
    pdf.embed_file(
        bytes=attachment,
        basename=ATTACHMENT_NAME,
        mime_type="application/json",
        desc="The signed report",
        compress=False,
        modification_date=made,
    )
    pdf.add_page()
    pdf.pictures(drawn)
    pdf.verdict()
    pdf.paragraph("How sure is that?", [words.certainty])
    pdf.bullets("How often does this detector err?", words.rates)
    pdf.bullets("Why", words.reasons)
    pdf.table_of("The verdict in figures", words.findings)
    pdf.add_page()  # the first page is the answer, the second the record
    for heading, rows in words.facts:
        pdf.table_of(heading, rows)
    pdf.bullets("What the detector cannot do", words.limits)
    pdf.paragraph("Is this report genuine?", [words.how_to_check])
    return bytes(pdf.output())


class _Pages(FPDF):
    """The document, with one method for each kind of block."""

    def __init__(self, words: Words) -> None:
        super().__init__(format="A4")
        self._words = words
        self.core_fonts_encoding = ENCODING
        self.set_margins(MARGIN_MM, 14, MARGIN_MM)
        self.c_margin = 0.0  # texts begin where the rules and the pictures do
        self.set_auto_page_break(auto=True, margin=22)
        self.set_lang("en")
        self.set_title(f"Veriscan report: {words.title}")
        self.set_subject(words.notice)
        self.set_creator("Veriscan")
        self.set_producer("Veriscan")

    # --- frame (FPDF calls these two) -------------------------------------------------------

    def header(self) -> None:
        """Draw the head of a page."""
        self._write(WORDMARK, "Veriscan", width=60)
        self._end_line(LABEL, f"Report on one scan: {self._words.title}", align="R")
        self.set_draw_color(*LINE)
        y = self.get_y() + 1.5
        self.line(MARGIN_MM, y, self.w - MARGIN_MM, y)
        self.set_y(y + 5)

    def footer(self) -> None:
        """Draw the foot of a page."""
        self.set_y(-17)
        self.set_draw_color(*LINE)
        self.line(MARGIN_MM, self.get_y(), self.w - MARGIN_MM, self.get_y())
        self.set_y(-15)
        self._write(NOTICE, self._words.notice, width=140)
        self._end_line(SMALL, f"Page {self.page_no()}", align="R")

    # --- blocks -----------------------------------------------------------------------------

    def pictures(self, drawn: Pictures) -> None:
        """Put the scan beside the scan with its heatmap, each in a dark square."""
        scan = _small(drawn.scan)
        shown = [("The scan as it was judged", scan.convert("RGB"))]
        if drawn.heatmap is not None:
            shown.append(("With the heatmap: colour is evidence for a fake", _under(scan, drawn)))
        top = self.get_y()
        for place, (caption, image) in enumerate(shown):
            left = MARGIN_MM + place * (PICTURE_MM + GAP_MM)
            self.set_fill_color(*STAGE)
            self.rect(left, top, PICTURE_MM, PICTURE_MM, style="F")
            scale = (PICTURE_MM - 2) / max(image.size)
            width, height = image.width * scale, image.height * scale
            x, y = left + (PICTURE_MM - width) / 2, top + (PICTURE_MM - height) / 2
            self.image(image, x=x, y=y, w=width, h=height, alt_text=caption)
            self.set_xy(left, top + PICTURE_MM + 1)
            self._write(SMALL, caption, width=PICTURE_MM)
        self.set_xy(MARGIN_MM, top + PICTURE_MM + 8)

    def verdict(self) -> None:
        """Write the verdict on its colour."""
        ink, ground = TONES.get(self._words.tone, NO_TONE)
        self.set_fill_color(*ground)
        self._fill(Style(ink, 15, is_bold=True), self._words.headline, height=7)
        self._fill(BODY, self._words.advice, height=LINE_MM)
        self.ln(2)

    def paragraph(self, heading: str, texts: Sequence[str]) -> None:
        """Write texts under a heading; nothing where there is no text."""
        texts = [text for text in texts if text]
        if texts:
            self._heading(heading)
        for text in texts:
            self._wrapped(BODY, text)

    def bullets(self, heading: str, texts: Sequence[str]) -> None:
        """Write a list under a heading; nothing where it is empty."""
        if not texts:
            return
        self._heading(heading)
        for text in texts:
            self._write(BODY, "•", width=4.5)
            self._wrapped(BODY, text)

    def table_of(self, heading: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write names with their values under a heading."""
        self._heading(heading, lines=2)
        for name, value in rows:
            if self.will_page_break(2 * LINE_MM):
                self.add_page()
            self._write(LABEL, name, width=LABEL_MM)
            is_hash = len(value) >= 36 and " " not in value  # which is read letter by letter
            self._wrapped(CODE if is_hash else BODY, value)

    # --- parts of blocks --------------------------------------------------------------------

    def _heading(self, text: str, lines: int = 3) -> None:
        if self.will_page_break(9 + lines * LINE_MM):
            self.add_page()
        self.ln(2.5)
        self._end_line(HEADING, text)
        self.ln(0.8)

    def _wrapped(self, style: Style, text: str) -> None:
        self._use(style)
        self.multi_cell(0, LINE_MM, _plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _fill(self, style: Style, text: str, *, height: float) -> None:
        self._use(style)
        self.multi_cell(
            0,
            height,
            _plain(text),
            align="L",
            fill=True,
            padding=Padding(1.5, 4, 1.5, 4),
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    def _use(self, style: Style) -> None:
        self.set_text_color(*style.colour)
        self.set_font(style.family, style="B" if style.is_bold else "", size=style.size_pt)

    def _write(self, style: Style, text: str, *, width: float) -> None:
        """Write a text of one line; the next one stands to its right."""
        self._use(style)
        self.cell(width, LINE_MM, _plain(text), new_x=XPos.RIGHT, new_y=YPos.TOP)

    def _end_line(self, style: Style, text: str, *, align: str = "L") -> None:
        """Write a text up to the right margin; the next one stands below."""
        self._use(style)
        self.cell(0, LINE_MM, _plain(text), align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _plain(text: str) -> str:
    """Return a text with the characters that the fonts have."""
    return text.encode(ENCODING, "replace").decode(ENCODING)


def _small(png: bytes) -> Image.Image:
    """Return a scan in grey of 8 bits, at most as large as it is printed."""
    pixels = pictures.decoded(png)
    image = Image.fromarray(pictures.eight_bits(pixels))
    image.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE))
    return image


def _under(scan: Image.Image, drawn: Pictures) -> Image.Image:
    """Return a scan with its heatmap over it."""
    with Image.open(io.BytesIO(drawn.heatmap or b""), formats=("PNG",)) as heatmap:
        colours = heatmap.convert("RGBA").resize(scan.size)
    return Image.alpha_composite(scan.convert("RGBA"), colours).convert("RGB")
