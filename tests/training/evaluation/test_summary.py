from dataclasses import replace

import pytest

from training.evaluation.report import Report
from training.evaluation.summary import summary

EMPTY = Report(
    metrics={}, auc_by_generator={}, false_alarms_by_source={}, pointing_game={}, confusion={}
)


def said_of(**confusion: int) -> str:
    counts = {name.replace("_", " "): count for name, count in confusion.items()}
    return " ".join(summary(replace(EMPTY, confusion=counts)))


def test_what_an_alarm_is_worth_is_told_for_rare_forgeries() -> None:
    """Nine in ten fakes, one in a hundred authentic scans: of 10.89 alarms 0.9 are right."""
    said = said_of(
        fake_called_fake=90, fake_called_real=10, real_called_fake=1, real_called_inconclusive=99
    )

    assert (
        "If one scan in 1,000 were forged, 8.3 of 100 scans that are called fake would be" in said
    )
    assert "Of 100 fakes, 90 are called fake, 10 authentic, and 0 get no verdict." in said


def test_without_a_false_alarm_nothing_is_claimed_of_rare_forgeries() -> None:
    said = said_of(fake_called_fake=5, real_called_real=5)

    assert "too few were judged to say what an alarm is worth" in said
    assert "one scan in" not in said


@pytest.mark.parametrize("only", ["fake_called_fake", "real_called_fake"])
def test_one_class_says_nothing_of_the_worth_of_alarms(only: str) -> None:
    assert "forge" not in said_of(**{only: 3})
