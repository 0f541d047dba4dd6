"""What of a report goes to the card as slices."""

import pytest

from tests.training.evaluation_lab import CARD, a_row
from training.evaluation.report import report
from training.evaluation.slices import slices_of

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


def test_each_generator_each_size_of_edit_and_each_source_is_a_slice() -> None:
    rows = [a_row(i, 0.1) for i in range(8)]
    rows += [a_row(10 + i, p, source="other") for i, p in enumerate([0.2, 0.9, 0.5, 0.25])]
    rows += [
        a_row(30 + i, p, label="fake", generator="hard", peak_in_mask=str(int(i < 3)))
        for i, p in enumerate([0.15, 0.05, 0.6, 0.8])
    ]
    measured = report(rows, CARD)

    slices = {(part.kind, part.name): part for part in slices_of(measured)}

    assert set(slices) == {
        ("generator", "hard"),
        *(("edit_size", name) for name in measured.by_edit_size),
        ("source", "drawn"),
        ("source", "other"),
    }
    hard, other = slices["generator", "hard"], slices["source", "other"]
    assert hard.wrong == measured.by_generator["hard"]["miss_rate"]
    assert hard.undecided.value == pytest.approx(
        1 - (measured.by_generator["hard"]["coverage"].value or 0)
    )
    assert other.wrong.value == pytest.approx(1 / 4)
