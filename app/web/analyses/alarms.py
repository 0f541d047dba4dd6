"""What a verdict of "deepfake" is worth where hardly any scan is forged."""

from statistics import fmean

from app.detection.card import Card, Estimate
from app.web.wording import of_hundred, whole_interval

RARE = 1000
"""One scan in so many is supposed to be forged; nobody knows how many really are."""


def worth_of_alarms(card: Card) -> str:
    """Say how many of a hundred verdicts of "deepfake" are right where forgeries are rare.

    Returns:
        A sentence; empty where the card does not say how often the detector is right on fakes
        and wrong on authentic scans.
    """
    found, false_alarms = _share_found(card), card.metrics.get("false_alarm_rate")
    if not found or false_alarms is None or false_alarms.value is None:
        return ""
    beginning = f"Where 1 scan in {RARE:,} is forged,"
    if false_alarms.value == 0:
        # None was seen, so only the upper end of the interval tells how many there may be.
        high = false_alarms.high
        least = 0 if high is None else int(100 * predictive_value(found, high))
        words = f"{beginning} at least {least} of 100 “deepfake” verdicts would be right."
        return words if least else ""
    right = predictive_value(found, false_alarms.value)
    return (
        f"{beginning} {of_hundred(right)} of 100 “deepfake” verdicts would be right"
        f"{_bounds(found, false_alarms)}, the others false alarms."
    )


def predictive_value(found: float, false_alarms: float) -> float:
    """Return the share of alarms that are right where one scan in ``RARE`` is forged.

    By Bayes' theorem; Altman and Bland, "Diagnostic tests 2: predictive values", BMJ 1994;309:102,
    https://doi.org/10.1136/bmj.309.6947.102.

    Args:
        found: Share of fakes that are called fake, above 0 and at most 1.
        false_alarms: Share of authentic scans that are called fake, in [0, 1].
    """
    return found / (found + (RARE - 1) * false_alarms)


def _bounds(found: float, false_alarms: Estimate) -> str:
    if false_alarms.low is None or false_alarms.high is None:
        return ""
    least, most = (predictive_value(found, end) for end in (false_alarms.high, false_alarms.low))
    if false_alarms.low == 0:  # by which all of them might be right
        return f" (95 % interval: {int(100 * least)} or more)"
    return f" (95 % interval {whole_interval(Estimate(value=None, low=least, high=most))})"


def _share_found(card: Card) -> float | None:
    """Return the share of fakes that are called fake, each kind weighing alike; None if unsaid."""
    shares = [
        1 - part.wrong.value - part.undecided.value
        for part in card.slices
        if part.kind == "generator"
        and part.wrong.value is not None
        and part.undecided.value is not None
    ]
    return fmean(shares) if shares else None
