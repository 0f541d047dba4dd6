"""The drawing of a score among the verdicts."""

from dataclasses import replace
from itertools import pairwise

import pytest

from app.detection.labels import Verdict
from app.detection.verdict import Finding, OperatingPoint
from app.web.analyses.score_drawing import WIDTH, draw
from tests.app.web.test_wording import FINDING

BANDS = [(0.2, 0.8), (0.5, 0.5), (0.0, 1.0), (0.0, 0.4), (0.6, 1.0), (0.001, 0.002), (0.0, 0.0)]


def finding_at(score: float, band: tuple[float, float] = FINDING.inconclusive_band) -> Finding:
    """Return what the engine finds at a score."""
    point = OperatingPoint(temperature=1, bias=0, threshold=band[0], inconclusive_band=band)
    return replace(
        FINDING,
        verdict=point.verdict(score),
        probability_fake=score,
        threshold=point.threshold,
        inconclusive_band=band,
    )


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("score", [0.0, 0.0001, 0.2, 0.3, 0.5, 0.8, 0.9999, 1.0])
def test_the_mark_lies_in_the_zone_of_the_verdict(score: float, band: tuple[float, float]) -> None:
    finding = finding_at(score, band)
    drawing = draw(finding)

    (here,) = [zone for zone in drawing.zones if zone.is_here]
    assert here.x <= drawing.mark_x <= here.x + here.width
    assert here.low <= score <= here.high
    drawn = {zone.verdict for zone in drawing.zones}
    assert here.verdict is finding.verdict or finding.verdict not in drawn


@pytest.mark.parametrize("band", BANDS)
def test_the_zones_fill_the_drawing_without_overlap(band: tuple[float, float]) -> None:
    zones = draw(replace(FINDING, inconclusive_band=band)).zones

    for left, right in pairwise(zones):
        assert left.x + left.width < right.x
        assert left.high == right.low
    assert zones[0].x == 0
    assert zones[-1].x + zones[-1].width == pytest.approx(WIDTH, abs=1)
    assert all(zone.width > 60 for zone in zones)


def test_a_higher_score_never_lies_further_left() -> None:
    marks = [draw(finding_at(n / 200)).mark_x for n in range(201)]

    assert marks == sorted(marks)


def test_the_drawing_is_told_in_words() -> None:
    drawing = draw(FINDING)

    assert drawing.description == (
        "The score is 0.93 on a scale from 0 to 1: authentic from 0 to 0.2; "
        "inconclusive from 0.2 to 0.8; deepfake from 0.8 to 1."
    )
    assert [text for _, text in drawing.boundaries] == ["0.2", "0.8"]


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.0, "0"), (0.00001, "below 0.001"), (0.5, "0.5"), (0.99999, "above 0.999"), (1.0, "1")],
)
def test_a_score_is_never_rounded_to_certainty(score: float, text: str) -> None:
    assert draw(finding_at(score)).score_text == text


def test_the_inconclusive_zone_is_the_only_one_where_nothing_else_can_be_said() -> None:
    (zone,) = draw(replace(FINDING, inconclusive_band=(0.0, 1.0))).zones

    assert zone.verdict is Verdict.INCONCLUSIVE


def test_a_withdrawn_verdict_is_drawn_where_its_score_lies() -> None:
    withdrawn = replace(FINDING, verdict=Verdict.INCONCLUSIVE, probability_fake=0.97)

    (here,) = [zone for zone in draw(withdrawn).zones if zone.is_here]

    assert here.verdict is Verdict.FAKE


def test_without_a_score_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no score"):
        draw(replace(FINDING, verdict=Verdict.NOT_JUDGED, probability_fake=None))
