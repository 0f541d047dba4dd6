import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import StorageError
from app.storage.json_file import AtomicJSONStorage
from app.storage.json_reader import Tables

ALICE: Tables = {"users": {"1": {"username": "alice"}}}
BOB: Tables = {"users": {"1": {"username": "bobby"}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def storage(path: Path) -> Iterator[AtomicJSONStorage]:
    storage = AtomicJSONStorage(path, content="accounts")
    yield storage
    storage.close()


@contextmanager
def no_room_in_files(limit_bytes: int) -> Iterator[None]:
    """Make every write past ``limit_bytes`` fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(storage: AtomicJSONStorage, tables: Tables) -> None:
    with storage.exclusive():
        storage.write(tables)


def test_nothing_is_read_before_the_first_write(storage: AtomicJSONStorage) -> None:
    assert storage.read() is None
    with storage.exclusive():
        assert storage.read() is None


def test_what_was_written_is_read_again(storage: AtomicJSONStorage) -> None:
    write(storage, ALICE)

    assert storage.read() == ALICE


def test_only_the_owner_can_read_the_files(storage: AtomicJSONStorage, path: Path) -> None:
    write(storage, ALICE)

    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_write_by_another_process_is_seen_at_once(path: Path) -> None:
    first = AtomicJSONStorage(path, content="accounts")
    second = AtomicJSONStorage(path, content="accounts")
    write(first, ALICE)
    assert second.read() == ALICE

    # Two writes in a row give the old inode number back to the file system, and the second has
    # the size of the first: only an open file tells them apart for sure.
    for _ in range(20):
        write(first, BOB)
        assert second.read() == BOB
        write(first, ALICE)
        write(first, ALICE)
        assert second.read() == ALICE
    first.close()
    second.close()


def test_an_edit_by_hand_is_seen(storage: AtomicJSONStorage, path: Path) -> None:
    write(storage, ALICE)
    storage.read()

    path.write_text(json.dumps(BOB) + "\n", encoding="utf-8")

    assert storage.read() == BOB


def test_an_unchanged_file_is_not_parsed_again(
    storage: AtomicJSONStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, ALICE)
    storage.read()
    monkeypatch.setattr("json.loads", lambda _: pytest.fail("parsed again"))

    assert storage.read() == ALICE


def test_a_write_without_the_lock_is_refused(storage: AtomicJSONStorage) -> None:
    with pytest.raises(RuntimeError, match="exclusive"):
        storage.write(ALICE)


def test_a_failed_replacement_leaves_the_old_content(
    storage: AtomicJSONStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, ALICE)

    def fail(source: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(StorageError, match="nothing was changed"):
            write(storage, BOB)

    assert storage.read() == ALICE
    assert sorted(p.name for p in path.parent.iterdir()) == ["users.json", "users.json.lock"]


def test_a_full_disk_leaves_the_old_content(storage: AtomicJSONStorage, path: Path) -> None:
    write(storage, ALICE)
    large: Tables = {"users": {str(number): {"username": "x" * 100} for number in range(1000)}}

    with no_room_in_files(20_000), pytest.raises(StorageError, match="free space"):
        write(storage, large)

    assert storage.read() == ALICE
    assert not path.with_name("users.json.tmp").exists()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]",
        b'{"users": []}',
        b'{"users": {"1": 2}}',
        b"\xff\xfe",
        b"null",
        b"[" * 10**6,
    ],
)
def test_a_damaged_file_is_reported_and_left_alone(
    storage: AtomicJSONStorage, path: Path, damaged: bytes
) -> None:
    path.write_bytes(damaged)

    with pytest.raises(StorageError, match=r"accounts file users\.json .* restore it") as refusal:
        storage.read()
    with storage.exclusive(), pytest.raises(StorageError, match="damaged"):
        storage.read()

    assert path.read_bytes() == damaged
    assert str(path.parent) not in str(refusal.value)


def test_after_a_damaged_file_was_restored_it_is_read(
    storage: AtomicJSONStorage, path: Path
) -> None:
    write(storage, ALICE)
    storage.read()
    path.write_bytes(b"{")
    with pytest.raises(StorageError):
        storage.read()

    write_by_hand = json.dumps(BOB)
    path.write_text(write_by_hand, encoding="utf-8")

    assert storage.read() == BOB


def test_a_file_that_cannot_be_read_is_reported(storage: AtomicJSONStorage, path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageError, match="cannot be read"):
        storage.read()


def test_a_left_over_of_a_killed_writer_does_no_harm(
    storage: AtomicJSONStorage, path: Path
) -> None:
    path.with_name("users.json.tmp").write_bytes(b'{"users": {"1"')

    write(storage, ALICE)

    assert storage.read() == ALICE


def test_a_link_in_place_of_the_temporary_file_is_not_followed(
    storage: AtomicJSONStorage, path: Path
) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    path.with_name("users.json.tmp").symlink_to(victim)

    with pytest.raises(StorageError):
        write(storage, ALICE)

    assert victim.read_bytes() == b"precious"
