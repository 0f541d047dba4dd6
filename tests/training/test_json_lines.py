from pathlib import Path

import pytest

from training.json_lines import JsonLines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "lines.jsonl"


def test_what_was_added_is_read_again_in_its_order(path: Path) -> None:
    for value in (["a", 1], {"side": None}):
        JsonLines(path).add(value)

    assert JsonLines(path).read() == [["a", 1], {"side": None}]


def test_where_nothing_was_added_nothing_is_read(path: Path) -> None:
    assert JsonLines(path).read() == []


def test_a_line_that_a_kill_tore_is_left_out_and_does_not_spoil_the_next(path: Path) -> None:
    lines = JsonLines(path)
    lines.add(["a", 1])
    lines.add(["b", "ü" * 9])
    path.write_bytes(path.read_bytes()[:-9])

    JsonLines(path).add(["c", 3])

    assert JsonLines(path).read() == [["a", 1], ["c", 3]]


@pytest.mark.parametrize("garbled", [b"\xff\xfe\n", b"\n", b'["b", \n', b"\x00\x00\n"])
def test_a_damaged_line_is_left_out(path: Path, garbled: bytes) -> None:
    JsonLines(path).add(["a", 1])
    with path.open("ab") as file:
        file.write(garbled)
    JsonLines(path).add(["c", 3])

    assert JsonLines(path).read() == [["a", 1], ["c", 3]]
