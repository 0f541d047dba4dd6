"""The two classes and the four verdicts. Class 1 is FAKE everywhere in Veriscan."""

from enum import IntEnum, StrEnum


class Label(IntEnum):
    """Ground truth of a scan, as the networks are trained on it."""

    REAL = 0
    FAKE = 1


class Verdict(StrEnum):
    """What Veriscan says of a scan."""

    REAL = "real"
    FAKE = "fake"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not_judged"
