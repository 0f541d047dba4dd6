"""What the page of a study shows: its verdict and the rule in words, and its slices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.detection.labels import Verdict
from app.records import Analysis, StudySlice
from app.services.analyses.study_verdict import StudyFinding
from app.web.wording import Badge, Headline, badge_of, of_hundred

BAND_WIDTH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """A slice in the strip.

    Attributes:
        name: What its sender calls it; empty where that is not kept or not for the viewer.
    """

    analysis: Analysis
    number: int
    name: str
    badge: Badge


@dataclass(frozen=True, slots=True)
class Bar:
    """A slice in the drawing of the whole series.

    Attributes:
        x: Left edge, of ``BAND_WIDTH``.
        tone: Ending of the CSS class, as of a badge.
    """

    x: float
    width: float
    tone: str


def rows_of_slices(slices: Iterable[StudySlice], names: Mapping[UUID, str]) -> list[SliceRow]:
    """Return a row for each slice, in the order given."""
    return [
        SliceRow(
            analysis=found.analysis,
            number=found.number,
            name=names.get(found.analysis.id, ""),
            badge=badge_of(found.analysis),
        )
        for found in slices
    ]


def band_of(slices: Sequence[StudySlice]) -> list[Bar]:
    """Return the verdicts along the series as bars side by side."""
    width = BAND_WIDTH / max(1, len(slices))
    return [
        Bar(round(place * width, 2), round(width, 2), badge_of(found.analysis).tone)
        for place, found in enumerate(slices)
    ]


def study_headline(finding: StudyFinding) -> Headline:
    """Return the verdict on a study as a sentence."""
    if finding.verdict is Verdict.REAL:
        return Headline(
            "This study appears ",
            "authentic",
            ".",
            "No more of its slices are called deepfake than happens by chance. The detector does "
            "not know every way of making fakes, so keep to your usual checks.",
        )
    if finding.verdict is Verdict.FAKE:
        return Headline(
            "This study appears to be a ",
            "deepfake",
            ".",
            "Do not rely on these images. Compare them with the originals in the archive, and tell "
            "whoever looks after image integrity.",
        )
    if finding.verdict is Verdict.INCONCLUSIVE:
        return Headline(
            "",
            "Inconclusive",
            ": the slices do not tell whether this study is authentic.",
            "Treat it as unchecked, and look at the most suspicious slices first.",
        )
    return Headline(
        "This study ",
        "could not be judged",
        ".",
        "None of its slices was judged. Check that you chose the right kind of scan.",
    )


def study_reasons(finding: StudyFinding, noun: str) -> tuple[str, ...]:
    """Return what was counted, and the rule that leads from there to the verdict.

    Args:
        finding: The verdict on the study.
        noun: What a slice is called in a sentence, such as ``lung CT slice``.
    """
    if finding.judged == 0:
        return ()
    counted = (
        f"Of {_many(finding.judged, 'judged slice')}, {finding.fakes} are called deepfake, "
        f"{finding.reals} authentic, and on {finding.judged - finding.fakes - finding.reals} the "
        "detector cannot tell."
    )
    if finding.longest_run > 1:
        counted += f" Up to {finding.longest_run} of those called deepfake follow one another."
    return (counted, _chance_words(finding, noun), _rule_words(finding))


def _chance_words(finding: StudyFinding, noun: str) -> str:
    if finding.false_alarm_rate is None or finding.chance_run is None:
        return (
            f"How often an authentic {noun} is called deepfake is not known for the weights that "
            "judged these, so no error is put down to chance."
        )
    return (
        f"Of 100 authentic slices, {of_hundred(finding.false_alarm_rate)} may be called deepfake "
        f"by mistake. So an authentic study of {_many(finding.judged, 'slice')} may hold up to "
        f"{finding.chance_fakes} such slices, and up to {finding.chance_run - 1} in a row."
    )


def _rule_words(finding: StudyFinding) -> str:
    return (
        f"The rule: a study is a deepfake from {_many(finding.needed_for_fake, 'slice')} called so "
        "(a quarter, and more than chance explains), if more are called deepfake than authentic. "
        "It is authentic if no more are called deepfake than chance explains, neither in all nor "
        "in a row, and at least a quarter is called authentic. Anything else is inconclusive: a "
        "forgery of one region shows in few neighbouring slices."
    )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
