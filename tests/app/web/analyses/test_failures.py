"""Where a detector errs most, as a verdict tells it."""

import pytest

from app.detection.card import Estimate, Slice
from app.detection.labels import Verdict
from app.web.analyses.failures import failure_groups, likeliest_failure
from tests.factories import make_card


def estimate(share: float, note: str = "") -> Estimate:
    """Return a share with an interval of five scans of a hundred to either side."""
    return Estimate(value=share, low=max(share - 0.05, 0), high=min(share + 0.05, 1), note=note)


CARD = make_card(
    slices=(
        Slice(kind="generator", name="dcgan", wrong=estimate(0), undecided=estimate(0.1)),
        Slice(
            kind="generator",
            name="self_blending",
            wrong=estimate(0.07, "221 scans of 146 patients or synthetic scans"),
            undecided=estimate(0.6),
        ),
        Slice(kind="source", name="mosmed", wrong=estimate(0), undecided=estimate(0.9)),
        Slice(kind="source", name="siim_tcga", wrong=estimate(0.3), undecided=estimate(0.4)),
    )
)


def test_the_kinds_of_scan_are_listed_the_worst_first() -> None:
    fakes, authentic = failure_groups(CARD)

    assert [row.name for row in fakes.rows] == [
        "Regions altered and blended back",
        "Whole scans drawn by a DCGAN",
    ]
    assert [row.name for row in authentic.rows] == [
        "SIIM/TCGA DICOM files",
        "MosMedData JPEG files",
    ]
    assert fakes.rows[0].scans == "221 scans of 146 patients"
    assert fakes.rows[0].words == (
        "about 7 of 100 called authentic (95 % interval 2 to 12), about 60 without a verdict"
    )
    assert authentic.rows[1].words == (
        "none of 100 called fake (95 % interval 0 to 5), about 90 without a verdict"
    )


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (
            Verdict.REAL,
            "Misses are most frequent among fakes of the kind “regions altered and blended back”: "
            "about 7 of 100 called authentic (95 % interval 2 to 12).",
        ),
        (
            Verdict.FAKE,
            "False alarms are most frequent among authentic scans from SIIM/TCGA DICOM files: "
            "about 30 of 100 called fake (95 % interval 25 to 35).",
        ),
        (
            Verdict.INCONCLUSIVE,
            "Authentic scans from MosMedData JPEG files are left without a verdict most often: "
            "about 90 of 100.",
        ),
    ],
)
def test_a_verdict_is_told_the_failure_that_is_most_like_it(
    verdict: Verdict, sentence: str
) -> None:
    assert likeliest_failure(CARD, verdict) == sentence


def test_a_card_from_before_there_were_slices_speaks_of_the_sources_it_measured() -> None:
    card = make_card(metrics={"false_alarm_rate_mosmed": Estimate(value=0.02)})

    (group,) = failure_groups(card)

    assert [(row.name, row.words) for row in group.rows] == [
        ("MosMedData JPEG files", "about 2 of 100 called fake")
    ]
    assert "about 2 of 100" in likeliest_failure(card, Verdict.FAKE)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_card_that_knows_no_failure_invents_none(verdict: Verdict) -> None:
    card = make_card(metrics={})

    assert failure_groups(card) == []
    assert likeliest_failure(card, verdict) == ""
