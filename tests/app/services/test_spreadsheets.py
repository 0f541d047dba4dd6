"""What somebody typed is no formula in a spreadsheet, whatever it separates cells by."""

import csv
import io

import pytest

from app.services.spreadsheets import defused

STARTS = tuple("=+-@＝＋－＠")


@pytest.mark.parametrize(
    "typed",
    [
        "=1+1",
        " =1+1",
        "x;=1+1",
        "x; +1",
        'x";=1',
        "x\t-1",
        "x\n@SUM(A1)",
        "x\r\n＝1",
        ";;=1",
        "=1;=2",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_begins_like_a_formula(typed: str, delimiter: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow(["id", defused(typed), "end"])

    for row in csv.reader(io.StringIO(line.getvalue(), newline=""), delimiter=delimiter):
        assert not [cell for cell in row if cell.lstrip().startswith(STARTS)]


@pytest.mark.parametrize("typed", ["", "ward 3", "a-b; c=d", "5 - 3", "x@y.org", "1;2", "a, -1"])
def test_other_text_stays_as_it_is(typed: str) -> None:
    assert defused(typed) == typed
