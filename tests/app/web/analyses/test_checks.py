"""What was checked beside the score."""

from dataclasses import replace

from app.detection.verdict import GateFinding, StabilityFinding
from app.web.analyses.checks import checks_of
from tests.app.web.test_wording import FINDING
from tests.factories import make_gate_card

NOUN = "lung CT slice"
GATE = GateFinding(likeness=0.97, threshold=0.5, is_overridden=False, sha256="0" * 64)


def test_without_gate_and_variants_both_checks_say_that_they_were_not_made() -> None:
    looks, holds = checks_of(FINDING, NOUN, None)

    assert looks.words.startswith("Not checked")
    assert holds.words.startswith("Not tried")
    assert (looks.icon, holds.icon) == ("not_judged", "not_judged")


def test_the_gate_says_how_often_it_stops_what_it_should_not() -> None:
    looks, _ = checks_of(replace(FINDING, gate=GATE), NOUN, make_gate_card(digest="0" * 64))

    assert looks.icon == "real"
    assert looks.notes == (
        "Of 100 authentic scans this check stops fewer than 1 by mistake (95 % interval 0 to 1).",
    )


def test_a_gate_that_was_replaced_does_not_speak_for_the_one_that_was_asked() -> None:
    looks, _ = checks_of(replace(FINDING, gate=GATE), NOUN, make_gate_card(digest="1" * 64))

    assert looks.notes == ()


def test_each_variant_says_whether_the_verdict_held() -> None:
    stability = StabilityFinding(
        probabilities={"mirrored": 0.2, "re_encoded": 0.9999}, is_stable=False
    )

    _, holds = checks_of(replace(FINDING, stability=stability), NOUN, None)

    assert holds.icon == "inconclusive"
    assert holds.notes == (
        "Mirrored: turns, score 0.2.",
        "Saved as JPEG once more: holds, score above 0.999.",
        "A variant turns the verdict if its score lies on the other side of 0.5.",
    )


def test_what_the_gate_stopped_has_no_verdict_to_hold() -> None:
    stopped = replace(GATE, likeness=0.1)

    (looks,) = checks_of(replace(FINDING, gate=stopped, probability_fake=None), NOUN, None)

    assert looks.icon == "inconclusive"
