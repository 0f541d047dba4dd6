"""What a verdict of "deepfake" is worth where hardly any scan is forged."""

import pytest

from app.detection.card import Card, Estimate, Slice
from app.web.analyses.alarms import predictive_value, worth_of_alarms
from tests.factories import make_card


def card_of(false_alarms: Estimate | None, found: tuple[float, ...] = (0.9, 0.7)) -> Card:
    """Return a card with a share of false alarms and of fakes found, one for each kind of fake."""
    parts = tuple(
        Slice(
            kind="generator",
            name=f"kind {number}",
            wrong=Estimate(value=0.0),
            undecided=Estimate(value=1 - share),
        )
        for number, share in enumerate(found)
    )
    return make_card(
        slices=parts, metrics={"false_alarm_rate": false_alarms} if false_alarms else {}
    )


def test_of_a_hundred_alarms_few_are_right_where_forgeries_are_rare() -> None:
    card = card_of(Estimate(value=0.01, low=0.005, high=0.05))

    assert worth_of_alarms(card) == (
        "Where 1 scan in 1,000 is forged, about 7 of 100 “deepfake” verdicts would be right "
        "(95 % interval 1 to 14), the others false alarms."
    )


def test_an_interval_that_begins_at_no_false_alarm_promises_nothing_above() -> None:
    card = card_of(Estimate(value=0.01, low=0.0, high=0.05))

    assert "(95 % interval: 1 or more)" in worth_of_alarms(card)


def test_without_an_interval_none_is_claimed() -> None:
    assert worth_of_alarms(card_of(Estimate(value=0.01))) == (
        "Where 1 scan in 1,000 is forged, about 7 of 100 “deepfake” verdicts would be right, "
        "the others false alarms."
    )


def test_where_no_false_alarm_was_seen_only_a_lower_bound_is_told() -> None:
    assert worth_of_alarms(card_of(Estimate(value=0.0, low=0.0, high=0.004))) == (
        "Where 1 scan in 1,000 is forged, at least 16 of 100 “deepfake” verdicts would be right."
    )


@pytest.mark.parametrize(
    "card",
    [
        card_of(None),
        card_of(Estimate(value=None, note="no authentic scan")),
        card_of(Estimate(value=0.01), found=()),
        card_of(Estimate(value=0.01), found=(0.0,)),
        card_of(Estimate(value=0.0)),
        card_of(Estimate(value=0.0, low=0.0, high=1.0)),
    ],
)
def test_a_card_that_does_not_say_enough_is_not_guessed_from(card: Card) -> None:
    assert worth_of_alarms(card) == ""


def test_a_perfect_detector_raises_no_false_alarm() -> None:
    assert predictive_value(1.0, 0.0) == 1.0
    assert predictive_value(1.0, 1.0) == pytest.approx(0.001)
