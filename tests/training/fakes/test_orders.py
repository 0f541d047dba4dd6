from pathlib import Path

import numpy as np
import pytest

from app.detection.labels import Label
from tests.training.lab import a_scan
from training.config import FakesConfig
from training.data.images import write_grey
from training.fakes.orders import Journal, Outcome, Store, orders

EDIT = Outcome(name="a-0", masked=True, tamper="removal", center=(30, 40))
NOTHING = Outcome(name="a-1", made=False)
BLACK = np.zeros((8, 8), dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "journal.jsonl"


def test_what_was_written_down_is_found_again(path: Path) -> None:
    for outcome in (EDIT, NOTHING):
        Journal(path).add(outcome)

    again = Journal(path)

    assert again.find("a-0") == EDIT
    assert again.find("a-1") == NOTHING
    assert again.find("a-2") is None


def test_a_line_that_a_kill_has_torn_is_forgotten_and_does_not_spoil_the_next(path: Path) -> None:
    journal = Journal(path)
    journal.add(EDIT)
    journal.add(NOTHING)
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")

    Journal(path).add(Outcome(name="a-2"))

    again = Journal(path)
    assert again.find("a-0") == EDIT
    assert again.find("a-1") is None
    assert again.find("a-2") == Outcome(name="a-2")


def test_an_index_from_before_there_was_a_journal_tells_what_was_made(path: Path) -> None:
    row = a_scan(
        "images/a-0.png", label=Label.FAKE, mask="masks/a-0.png", tamper="removal", x="30", y="40"
    )

    Journal(path, [row])

    assert Journal(path).find("a-0") == EDIT


def test_a_fake_is_there_if_all_its_files_are(tmp_path: Path) -> None:
    store = Store(tmp_path)

    assert not store.holds(None)
    assert store.holds(NOTHING)
    assert not store.holds(EDIT)
    write_grey(store.image(EDIT.name), BLACK)
    assert not store.holds(EDIT)
    write_grey(store.mask(EDIT.name), BLACK)
    assert store.holds(EDIT)


def test_the_side_at_which_a_fake_was_drawn_comes_into_its_row(path: Path) -> None:
    order = next(orders(FakesConfig(generator="any"), [a_scan("a.png", side="train")], edits=False))
    Journal(path).add(Outcome(name=order.name, drawn_side=96))
    outcome = Journal(path).find(order.name)
    assert outcome is not None
    store = Store(path.parent)

    row = store.row(order, outcome, "any")

    assert row.drawn_side == "96"
    Journal(path.with_name("another"), [row])
    assert Journal(path.with_name("another")).find(order.name) == outcome
    always = store.row(order, Outcome(name=order.name), "any", drawn_side=64)
    assert always.drawn_side == "64"
    assert store.row(order, Outcome(name=order.name), "any").drawn_side == ""


def test_seeds_of_fakes_depend_on_the_name_that_a_generator_has_in_the_data_set() -> None:
    originals = [a_scan("a.png", side="train")]
    plain = FakesConfig(generator="dcgan", seed=1)
    named = FakesConfig(generator="dcgan", seed=1, name="dcgan_large")

    first, second = (next(orders(f, originals, edits=False)) for f in (plain, named))

    assert first.seed != second.seed
    assert first.name == second.name
    assert first.original is None
