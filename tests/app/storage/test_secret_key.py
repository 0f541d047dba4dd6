from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import StorageError
from app.storage.secret_key import load_or_make_secret_key


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    key = load_or_make_secret_key(tmp_path)

    assert len(key) >= 43
    assert load_or_make_secret_key(tmp_path) == key
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_another_folder_has_another_key(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()

    assert len({load_or_make_secret_key(folder) for folder in folders}) == 2


def test_several_first_starts_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_make_secret_key(tmp_path), range(8)))

    assert len(keys) == 1


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret_key").write_bytes(content)

    with pytest.raises(StorageError, match="is empty"):
        load_or_make_secret_key(tmp_path)


def test_a_key_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "secret_key").mkdir()

    with pytest.raises(StorageError, match="Check its permissions"):
        load_or_make_secret_key(tmp_path)
