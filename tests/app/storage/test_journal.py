"""The journal beside a JSON file: what was confirmed is in it, and what a crash left is not."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import StorageError
from app.storage import json_file
from app.storage.journal import Change
from app.storage.json_file import AtomicJSONStorage
from app.storage.json_reader import Mark, Tables

ALICE, BOB, CHARLIE = ({"username": name} for name in ("alice", "bob", "charlie"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "users.json.journal"


@pytest.fixture
def storage(path: Path) -> Iterator[AtomicJSONStorage]:
    """A storage with Alice in the file and Bob in the journal."""
    with closing(opened(path)) as storage:
        put(storage, "1", ALICE)
        put(storage, "2", BOB)
        yield storage


def opened(path: Path) -> AtomicJSONStorage:
    return AtomicJSONStorage(path, content="accounts")


def put(storage: AtomicJSONStorage, key: str, fields: dict[str, str] | None) -> None:
    with storage.exclusive():
        storage.append([Change("users", key, fields)])


def read_anew(path: Path) -> Tables | None:
    with closing(opened(path)) as storage:
        return storage.read()


def test_a_change_is_a_line_beside_the_file(
    storage: AtomicJSONStorage, path: Path, journal: Path
) -> None:
    before = path.read_bytes()
    put(storage, "3", CHARLIE)
    put(storage, "2", None)

    assert path.read_bytes() == before
    assert len(journal.read_bytes().splitlines()) == 4  # with the header
    assert journal.stat().st_mode & 0o777 == 0o600
    assert storage.read() == read_anew(path) == {"users": {"1": ALICE, "3": CHARLIE}}


def test_changes_made_together_are_one_line(storage: AtomicJSONStorage, path: Path) -> None:
    with storage.exclusive():
        storage.append([Change("users", "1", None), Change("users", "3", CHARLIE)])

    assert read_anew(path) == {"users": {"2": BOB, "3": CHARLIE}}


@pytest.mark.parametrize("kept", [0, 1, 15, -1, -10])
def test_a_line_that_a_crash_cut_short_does_not_count(
    storage: AtomicJSONStorage, path: Path, journal: Path, kept: int
) -> None:
    whole = journal.read_bytes()
    put(storage, "3", CHARLIE)
    last = journal.read_bytes()[len(whole) :]
    journal.write_bytes(whole + last[:kept])

    with closing(opened(path)) as other:
        assert other.read() == {"users": {"1": ALICE, "2": BOB}}
        put(other, "4", CHARLIE)  # in its place

    assert read_anew(path) == {"users": {"1": ALICE, "2": BOB, "4": CHARLIE}}


@pytest.mark.parametrize("kept_bytes", [0, 3, 20])
def test_a_journal_cut_short_in_its_header_is_empty(
    storage: AtomicJSONStorage, path: Path, journal: Path, kept_bytes: int
) -> None:
    journal.write_bytes(journal.read_bytes()[:kept_bytes])

    with closing(opened(path)) as other:
        assert other.read() == {"users": {"1": ALICE}}
        put(other, "3", CHARLIE)

    assert read_anew(path) == {"users": {"1": ALICE, "3": CHARLIE}}


@pytest.mark.parametrize("line", [0, 1])
def test_a_line_damaged_in_the_middle_is_reported_and_left_alone(
    storage: AtomicJSONStorage, path: Path, journal: Path, line: int
) -> None:
    put(storage, "3", CHARLIE)
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line][:12] + b"#" + lines[line][13:]
    damaged = b"".join(lines)
    journal.write_bytes(damaged)

    with closing(opened(path)) as other:
        with pytest.raises(StorageError, match=r"users\.json\.journal .* damaged.* restore it"):
            other.read()
        with pytest.raises(StorageError, match="damaged"):
            put(other, "4", BOB)
    assert journal.read_bytes() == damaged


def test_a_long_journal_becomes_part_of_the_file(
    storage: AtomicJSONStorage, path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "LEAST_JOURNAL_BYTES", 300)
    with closing(opened(path)) as other:
        for number in range(20):
            put(storage, str(number), {"username": f"user {number}"})
            assert other.read() == storage.read()

    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["_format"]["1"]["generation"] > 2
    assert journal.stat().st_size < 1000
    assert len((read_anew(path) or {})["users"]) == 20


def test_a_journal_that_is_in_the_file_already_is_not_read_again(
    storage: AtomicJSONStorage, path: Path, journal: Path
) -> None:
    old = journal.read_bytes()
    with storage.exclusive():
        storage.write({"users": {"1": ALICE}})
    assert not journal.exists()
    journal.write_bytes(old)  # killed before it could remove it

    with closing(opened(path)) as other:
        assert other.read() == {"users": {"1": ALICE}}
        put(other, "3", CHARLIE)
    assert read_anew(path) == {"users": {"1": ALICE, "3": CHARLIE}}


def test_a_file_older_than_its_journal_is_refused(
    storage: AtomicJSONStorage, path: Path, journal: Path
) -> None:
    backup = path.read_bytes()
    with storage.exclusive():
        storage.write({"users": {"1": BOB}})
    put(storage, "2", BOB)
    kept = journal.read_bytes()
    path.write_bytes(backup)

    with closing(opened(path)) as other, pytest.raises(StorageError, match="same backup"):
        put(other, "3", CHARLIE)
    assert (path.read_bytes(), journal.read_bytes()) == (backup, kept)


def test_a_line_that_could_not_be_written_is_taken_back(
    storage: AtomicJSONStorage, path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journal.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="No space left"):
            put(storage, "3", CHARLIE)

    assert journal.read_bytes() == before
    assert storage.read() == {"users": {"1": ALICE, "2": BOB}}
    put(storage, "3", CHARLIE)
    assert storage.read() == read_anew(path)


def test_who_follows_gets_what_is_new_and_everything_after_a_new_file(
    storage: AtomicJSONStorage, path: Path
) -> None:
    mark, everything = storage.follow(Mark(), "users")
    assert everything == {"1": ALICE, "2": BOB}
    assert storage.follow(mark, "users") == (mark, [])

    put(storage, "3", CHARLIE)
    mark, news = storage.follow(mark, "users")
    assert news == [Change("users", "3", CHARLIE)]

    with closing(opened(path)) as other, other.exclusive():
        other.write({"users": {"1": ALICE}})
    assert storage.follow(mark, "users")[1] == {"1": ALICE}
    path.unlink()
    assert storage.follow(mark, "users")[1] == {}
