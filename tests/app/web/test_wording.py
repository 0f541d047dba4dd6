"""Verdicts in words."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.records import Analysis, AnalysisStatus
from app.web.wording import badge_of, certainty, headline, of_hundred

FINDING = Finding(
    verdict=Verdict.FAKE,
    probability_fake=0.93,
    threshold=0.5,
    inconclusive_band=(0.2, 0.8),
    reasons=(),
    weights_name="tiny",
    weights_sha256="0" * 64,
    device="cpu",
    inference_ms=1.0,
)
ANALYSIS = Analysis(
    id=uuid4(),
    user_id=uuid4(),
    modality="lung_ct",
    status=AnalysisStatus.DONE,
    created=datetime(2026, 11, 20, tzinfo=UTC),
    image_sha256="0" * 64,
    image_format="PNG",
    width=64,
    height=64,
    finding=FINDING,
)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_sentence_that_claims_no_more_than_it_may(verdict: Verdict) -> None:
    words = headline(verdict, "knee X-ray")

    sentence = f"{words.before}{words.key}{words.after} {words.advice}"
    assert "knee X-ray" in sentence
    assert sentence.endswith(".")
    for forbidden in ("diagnosis", "verified", "%"):
        assert forbidden not in sentence.lower()


def test_every_verdict_and_state_has_a_badge_with_an_icon_of_its_own() -> None:
    badges = [badge_of(replace(ANALYSIS, finding=replace(FINDING, verdict=v))) for v in Verdict]
    badges += [
        badge_of(replace(ANALYSIS, finding=None, status=status))
        for status in (AnalysisStatus.QUEUED, AnalysisStatus.RUNNING, AnalysisStatus.FAILED)
    ]

    assert len({badge.label for badge in badges}) == len(badges)
    assert len({badge.icon for badge in badges}) == len(Verdict) + 2


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "none"),
        (0.001, "fewer than 1"),
        (0.005, "about 0"),
        (0.012, "about 1"),
        (0.5, "about 50"),
        (0.994, "about 99"),
        (0.9951, "more than 99"),
        (1.0, "all"),
    ],
)
def test_a_share_is_a_number_of_a_hundred(share: float, words: str) -> None:
    assert of_hundred(share) == words


@pytest.mark.parametrize(
    ("verdict", "probability", "words"),
    [
        (Verdict.FAKE, 0.93, "about 93 of 100 scans with a score like this one would be deepfakes"),
        (Verdict.REAL, 0.03, "about 97 of 100 scans with a score like this one would be authentic"),
        (Verdict.INCONCLUSIVE, 0.5, "about 50 of 100 scans"),
        (Verdict.FAKE, 0.9999, "more than 99 of 100"),
    ],
)
def test_a_probability_is_told_as_a_frequency(
    verdict: Verdict, probability: float, words: str
) -> None:
    finding = replace(FINDING, verdict=verdict, probability_fake=probability)

    assert words in certainty(finding)
    assert "%" not in certainty(finding)
