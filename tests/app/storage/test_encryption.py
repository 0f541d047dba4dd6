import base64
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.errors import SettingError, StorageError
from app.storage.encryption import ScanCipher, check_key_file
from app.storage.images import ImageStore, Picture

ID = UUID("a1b2c3d4-0000-4000-8000-000000000001")


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(new_key())
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def on_disk(data_dir: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(data_dir.rglob("*.png"))]


def test_an_encrypted_picture_comes_back_and_is_not_on_the_disk(
    data_dir: Path, key_file: Path
) -> None:
    images = ImageStore(data_dir, ScanCipher(key_file))

    images.put(ID, Picture.SCAN, b"a scan of somebody")

    assert images.get(ID, Picture.SCAN) == b"a scan of somebody"
    assert b"somebody" not in on_disk(data_dir)[0]


def test_the_same_picture_is_never_encrypted_to_the_same_bytes(key_file: Path) -> None:
    cipher = ScanCipher(key_file)

    assert cipher.sealed("name", b"scan") != cipher.sealed("name", b"scan")


def test_plain_pictures_are_read_beside_encrypted_ones(data_dir: Path, key_file: Path) -> None:
    ImageStore(data_dir).put(ID, Picture.SCAN, b"plain")

    assert ImageStore(data_dir, ScanCipher(key_file)).get(ID, Picture.SCAN) == b"plain"


def test_without_the_key_or_with_another_it_cannot_be_read(
    data_dir: Path, key_file: Path, tmp_path: Path
) -> None:
    ImageStore(data_dir, ScanCipher(key_file)).put(ID, Picture.SCAN, b"scan")
    other = tmp_path / "other"
    other.write_text(new_key())

    for cipher in (ScanCipher(None), ScanCipher(other)):
        with pytest.raises(StorageError, match="key that this server does not have"):
            ImageStore(data_dir, cipher).get(ID, Picture.SCAN)


@pytest.mark.parametrize("position", [-1, 30, 45])
def test_a_changed_byte_is_noticed(data_dir: Path, key_file: Path, position: int) -> None:
    images = ImageStore(data_dir, ScanCipher(key_file))
    images.put(ID, Picture.SCAN, b"scan" * 10)
    (path,) = data_dir.rglob("*.png")
    stored = bytearray(path.read_bytes())
    stored[position] ^= 1
    path.write_bytes(stored)

    with pytest.raises(StorageError):
        images.get(ID, Picture.SCAN)


def test_one_scan_cannot_be_put_in_the_place_of_another(data_dir: Path, key_file: Path) -> None:
    images = ImageStore(data_dir, ScanCipher(key_file))
    another = UUID("a1b2c3d4-0000-4000-8000-000000000002")
    images.put(ID, Picture.SCAN, b"fake")
    images.put(another, Picture.SCAN, b"real")
    mine, theirs = sorted(data_dir.rglob("*.png"))
    mine.write_bytes(theirs.read_bytes())

    with pytest.raises(StorageError, match="damaged"):
        images.get(ID, Picture.SCAN)


def test_a_running_server_follows_a_new_key_and_old_pictures_stay_readable(
    data_dir: Path, key_file: Path
) -> None:
    images = ImageStore(data_dir, ScanCipher(key_file))
    images.put(ID, Picture.SCAN, b"old")
    key_file.write_text(f"{new_key()}\n{key_file.read_text()}")

    images.put(ID, Picture.HEATMAP, b"new")

    assert images.get(ID, Picture.SCAN) == b"old"
    assert images.get(ID, Picture.HEATMAP) == b"new"
    heatmap, scan = on_disk(data_dir)
    assert heatmap[:30] != scan[:30]


def test_a_key_file_that_goes_away_or_breaks_leaves_a_running_server_its_keys(
    data_dir: Path, key_file: Path
) -> None:
    images = ImageStore(data_dir, ScanCipher(key_file))
    images.put(ID, Picture.SCAN, b"scan")

    key_file.write_text("no key at all, whoever wrote it")
    assert images.get(ID, Picture.SCAN) == b"scan"
    key_file.unlink()
    assert images.get(ID, Picture.SCAN) == b"scan"


def test_writing_anew_encrypts_what_is_plain_or_old_and_nothing_twice(
    data_dir: Path, key_file: Path
) -> None:
    ImageStore(data_dir).put(ID, Picture.SCAN, b"plain")
    images = ImageStore(data_dir, ScanCipher(key_file))
    images.put(ID, Picture.HEATMAP, b"old key")
    first = new_key()
    key_file.write_text(f"{first}\n{key_file.read_text()}")

    interrupted = images.write_anew()
    assert next(interrupted) is True
    del interrupted
    assert sorted(images.write_anew()) == [False, True]
    assert list(images.write_anew()) == [False, False]

    key_file.write_text(first)  # the old key is not needed any more
    again = ImageStore(data_dir, ScanCipher(key_file))
    assert again.get(ID, Picture.SCAN) == b"plain"
    assert again.get(ID, Picture.HEATMAP) == b"old key"


def test_a_picture_that_is_removed_while_all_are_written_anew_stays_away(
    data_dir: Path, key_file: Path
) -> None:
    plain = ImageStore(data_dir)
    ids = sorted(uuid4() for _ in range(3))
    for analysis_id in ids:
        plain.put(analysis_id, Picture.SCAN, b"scan")

    anew = ImageStore(data_dir, ScanCipher(key_file)).write_anew()
    next(anew)
    for analysis_id in ids:
        plain.delete(analysis_id)

    assert not any(anew)
    assert on_disk(data_dir) == []


@pytest.mark.parametrize(
    "content", ["", "short", "not base64!", base64.b64encode(b"x" * 31).decode(), "\xff"]
)
def test_a_file_without_a_proper_key_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)

    with pytest.raises(SettingError, match="VERISCAN_STORAGE_KEY_FILE"):
        ScanCipher(path)


def test_a_key_in_the_data_folder_is_refused(data_dir: Path, tmp_path: Path) -> None:
    check_key_file(tmp_path / "key", data_dir)
    with pytest.raises(SettingError, match="put the key elsewhere"):
        check_key_file(data_dir / "keys" / "key", data_dir)
