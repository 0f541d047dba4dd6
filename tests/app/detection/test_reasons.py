import numpy as np
import pytest
from numpy.typing import NDArray

from app.detection.labels import Verdict
from app.detection.reasons import reasons_for
from app.detection.verdict import OperatingPoint

POINT = OperatingPoint(temperature=1, bias=0, threshold=0.5, inconclusive_band=(0.2, 0.925))
QUIET = np.zeros((10, 10), np.float32)


def marked(cells: int) -> NDArray[np.float32]:
    heatmap = np.zeros(100, np.float32)
    heatmap[:cells] = 0.5
    return heatmap.reshape(10, 10)


@pytest.mark.parametrize("verdict", [Verdict.FAKE, Verdict.REAL, Verdict.INCONCLUSIVE])
@pytest.mark.parametrize("heatmap", [QUIET, marked(4), marked(100)])
def test_every_verdict_is_explained_in_whole_sentences(
    verdict: Verdict, heatmap: NDArray[np.float32]
) -> None:
    reasons = reasons_for(verdict, POINT, heatmap)

    assert reasons
    for reason in reasons:
        assert reason[0].isupper()
        assert reason.endswith(".")
        assert "diagnos" not in reason.lower()
        assert "verified" not in reason.lower()


def test_an_inconclusive_verdict_names_both_ends_of_the_band() -> None:
    first, *_ = reasons_for(Verdict.INCONCLUSIVE, POINT, QUIET)

    assert "between 0.2 and 0.925" in first
    assert "errs too often" in first


def test_a_fake_verdict_says_how_much_of_the_scan_is_marked() -> None:
    assert "about 4 % of the scan's area" in reasons_for(Verdict.FAKE, POINT, marked(4))[1]
    assert "spread over about 70 %" in reasons_for(Verdict.FAKE, POINT, marked(70))[1]
    assert "over the whole scan" in reasons_for(Verdict.FAKE, POINT, marked(99))[1]
    assert "faint" in reasons_for(Verdict.FAKE, POINT, QUIET)[1]


def test_a_real_verdict_does_not_hide_what_is_marked() -> None:
    assert "No part" in reasons_for(Verdict.REAL, POINT, QUIET)[1]
    assert "about 4 % of the scan's area" in reasons_for(Verdict.REAL, POINT, marked(4))[1]


def test_a_limit_close_to_certainty_is_not_rounded_to_it() -> None:
    sure = OperatingPoint(temperature=1, bias=0, threshold=0.5, inconclusive_band=(0.0001, 0.9999))

    (text, *_) = reasons_for(Verdict.INCONCLUSIVE, sure, QUIET)

    assert "0.001 and 0.999" in text
