"""Verdicts in words."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.detection.card import Estimate
from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.records import Analysis, AnalysisStatus
from app.web.wording import (
    badge_of,
    certainty,
    gate_words,
    headline,
    hounsfield,
    meaning,
    of_hundred,
    scans_behind,
    stability_words,
)
from tests.factories import make_card

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


@pytest.mark.parametrize(
    ("likeness", "is_overridden", "words"),
    [
        (0.97, False, "looks like a lung CT slice (likeness 0.970, at least 0.900 is asked for)"),
        (0.97, True, "looks like a lung CT slice (likeness 0.970"),
        (0.12, False, "does not look like a lung CT slice (likeness 0.120, at least 0.900"),
        (0.12, True, "asked for); judged at its sender's request"),
    ],
)
def test_what_the_gate_found_is_said_with_its_figures(
    likeness: float, words: str, *, is_overridden: bool
) -> None:
    gate = GateFinding(
        likeness=likeness, threshold=0.9, is_overridden=is_overridden, sha256="0" * 64
    )

    assert words in gate_words(gate, "lung CT slice")


def test_that_there_was_no_gate_is_not_kept_quiet() -> None:
    assert "not checked" in gate_words(None, "lung CT slice")


def test_a_score_that_does_not_hold_is_not_put_in_figures() -> None:
    shaken = StabilityFinding(probabilities={"mirrored": 0.2}, is_stable=False)
    finding = replace(FINDING, verdict=Verdict.INCONCLUSIVE, stability=shaken)

    assert "of 100" not in certainty(finding)
    assert "did not hold" in stability_words(shaken)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (
            Verdict.FAKE,
            "Of 100 authentic scans like those that the detector was measured on, "
            "about 4 would be called fake.",
        ),
        (
            Verdict.REAL,
            "Of 100 fakes like those that the detector was measured on, "
            "about 7 would be called authentic.",
        ),
        (
            Verdict.INCONCLUSIVE,
            "Of 100 scans like those that the detector was measured on, "
            "about 9 would get no verdict.",
        ),
        (Verdict.NOT_JUDGED, ""),
    ],
)
def test_a_verdict_says_how_often_its_like_is_wrong(verdict: Verdict, sentence: str) -> None:
    assert meaning(verdict, make_card()) == sentence
    assert meaning(verdict, make_card(metrics={})) == ""


def test_hounsfield_units_are_whole_and_have_a_real_minus() -> None:
    assert [hounsfield(value) for value in (-1350.0, 0.4, 150.0)] == ["−1350 HU", "0 HU", "150 HU"]


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("10 scans of 5 patients or synthetic scans", "10 scans of 5 patients"),
        ("141 scans of 141 patients; exact binomial interval", "141 scans of 141 patients"),
        ("undefined: only one class", ""),
        ("", ""),
    ],
)
def test_a_figure_says_on_how_many_scans_it_stands(note: str, words: str) -> None:
    assert scans_behind(Estimate(value=0.1, note=note)) == words


def test_without_a_score_there_is_nothing_to_be_sure_of() -> None:
    finding = replace(FINDING, verdict=Verdict.NOT_JUDGED, probability_fake=None)

    assert certainty(finding) == ""
    assert "not tried" in stability_words(None)
