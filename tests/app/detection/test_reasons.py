from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.detection.labels import Verdict
from app.detection.reasons import reasons_for
from app.detection.verdict import Finding, GateFinding, StabilityFinding

BAND = (0.2, 0.925)
NOUN = "lung CT slice"
QUIET = np.zeros((10, 10), np.float32)


def found(verdict: Verdict, **changes: Any) -> Finding:
    fields: dict[str, Any] = {
        "verdict": verdict,
        "probability_fake": {Verdict.FAKE: 0.97, Verdict.REAL: 0.01}.get(verdict, 0.5),
        "threshold": 0.5,
        "inconclusive_band": BAND,
        "reasons": (),
        "weights_name": "tiny",
        "weights_sha256": "0" * 64,
        "device": "cpu",
        "inference_ms": 1.0,
    }
    return Finding(**(fields | changes))


def why(
    verdict: Verdict, heatmap: NDArray[np.float32] | None = QUIET, **changes: Any
) -> tuple[str, ...]:
    return reasons_for(found(verdict, **changes), heatmap, NOUN)


def gate(*, likeness: float, is_overridden: bool = False) -> GateFinding:
    return GateFinding(
        likeness=likeness, threshold=0.9, is_overridden=is_overridden, sha256="0" * 64
    )


def marked(cells: int) -> NDArray[np.float32]:
    heatmap = np.zeros(100, np.float32)
    heatmap[:cells] = 0.5
    return heatmap.reshape(10, 10)


@pytest.mark.parametrize("verdict", [Verdict.FAKE, Verdict.REAL, Verdict.INCONCLUSIVE])
@pytest.mark.parametrize("heatmap", [QUIET, marked(4), marked(100)])
def test_every_verdict_is_explained_in_whole_sentences(
    verdict: Verdict, heatmap: NDArray[np.float32]
) -> None:
    reasons = why(verdict, heatmap)

    assert reasons
    for reason in reasons:
        assert reason[0].isupper()
        assert reason.endswith(".")
        assert "diagnos" not in reason.lower()
        assert "verified" not in reason.lower()


def test_an_inconclusive_verdict_names_both_ends_of_the_band() -> None:
    first, *_ = why(Verdict.INCONCLUSIVE)

    assert "between 0.2 and 0.925" in first
    assert "errs too often" in first


def test_a_fake_verdict_says_how_much_of_the_scan_is_marked() -> None:
    assert "about 4 % of the scan's area" in why(Verdict.FAKE, marked(4))[1]
    assert "spread over about 70 %" in why(Verdict.FAKE, marked(70))[1]
    assert "over the whole scan" in why(Verdict.FAKE, marked(99))[1]
    assert "faint" in why(Verdict.FAKE, QUIET)[1]


def test_a_real_verdict_says_that_nothing_is_marked() -> None:
    assert "No part of the scan" in why(Verdict.REAL)[1]


def test_a_limit_close_to_certainty_is_not_rounded_to_it() -> None:
    (text, *_) = why(Verdict.INCONCLUSIVE, inconclusive_band=(0.0001, 0.9999))

    assert "0.001 and 0.999" in text


def test_what_the_gate_stops_is_told_by_what_it_should_have_been() -> None:
    first, *_ = why(Verdict.NOT_JUDGED, None, gate=gate(likeness=0.1), probability_fake=None)

    assert first == "This does not look like a lung CT slice."


def test_a_verdict_on_request_says_so_first() -> None:
    stopped = gate(likeness=0.1, is_overridden=True)

    first, second, *_ = why(Verdict.FAKE, gate=stopped)

    assert "does not look like a lung CT slice" in first
    assert "its sender asked" in first
    assert "lies above" in second


def test_a_request_that_was_not_needed_is_not_mentioned() -> None:
    passed = gate(likeness=0.99, is_overridden=True)

    assert why(Verdict.FAKE, gate=passed) == why(Verdict.FAKE)


def test_a_verdict_that_did_not_hold_names_what_shook_it() -> None:
    shaken = StabilityFinding(
        probabilities={"re_encoded": 0.1, "rescaled": 0.98, "shifted": 0.2}, is_stable=False
    )

    first, *_ = why(Verdict.INCONCLUSIVE, stability=shaken, probability_fake=0.97)

    assert "would call this scan fake" in first
    assert "saved as JPEG once more or moved by a few pixels" in first
    assert "smaller" not in first
