import threading
import time
from pathlib import Path

import pytest

from app.errors import StorageError
from app.storage.files import ProcessLock, make_private_folder, write_atomically


def test_the_lock_keeps_threads_apart(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    inside: list[int] = []
    most_inside = 0

    def enter() -> None:
        nonlocal most_inside
        with lock:
            inside.append(1)
            most_inside = max(most_inside, len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most_inside == 1


def test_two_locks_on_one_file_keep_each_other_out(tmp_path: Path) -> None:
    first, second = ProcessLock(tmp_path / "lock"), ProcessLock(tmp_path / "lock")
    entered = threading.Event()

    def enter() -> None:
        with second:
            entered.set()

    with first:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()


def test_the_holder_may_take_the_lock_again(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")

    with lock:
        with lock:
            assert lock.is_held
        assert lock.is_held
    assert not lock.is_held


def test_another_thread_does_not_count_as_the_holder(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    seen: list[bool] = []

    with lock:
        thread = threading.Thread(target=lambda: seen.append(lock.is_held))
        thread.start()
        thread.join()

    assert seen == [False]


def test_a_lock_that_cannot_be_made_is_reported_and_not_held(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "missing" / "lock")

    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be written"), lock:
            pass
    assert not lock.is_held


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    reader = path.open("rb")

    write_atomically(path, b"new")

    assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    reader.close()


def test_a_private_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "data" / "images")

    assert (tmp_path / "data" / "images").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")

    with pytest.raises(StorageError, match="VERISCAN_DATA_DIR"):
        make_private_folder(tmp_path / "data" / "images")
