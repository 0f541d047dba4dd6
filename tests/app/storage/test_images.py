from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.errors import NotFoundError, StorageError
from app.storage.images import ImageStore, Picture

ID = UUID("a1b2c3d4-0000-4000-8000-000000000001")


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path)


def test_a_picture_comes_back_as_it_went_in(images: ImageStore) -> None:
    images.put(ID, Picture.SCAN, b"scan")
    images.put(ID, Picture.HEATMAP, b"heatmap")

    assert images.get(ID, Picture.SCAN) == b"scan"
    assert images.get(ID, Picture.HEATMAP) == b"heatmap"


def test_pictures_lie_under_their_id_and_only_the_owner_can_read_them(
    tmp_path: Path, images: ImageStore
) -> None:
    images.put(ID, Picture.SCAN, b"scan")

    path = tmp_path / "images" / "a1" / f"{ID.hex}.scan.png"

    assert path.read_bytes() == b"scan"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_picture_that_is_not_there_is_not_found(images: ImageStore) -> None:
    images.put(ID, Picture.SCAN, b"scan")

    with pytest.raises(NotFoundError):
        images.get(ID, Picture.HEATMAP)
    with pytest.raises(NotFoundError):
        images.get(uuid4(), Picture.SCAN)


def test_all_pictures_of_an_analysis_are_deleted_and_no_others(
    tmp_path: Path, images: ImageStore
) -> None:
    neighbour = UUID("a1b2c3d4-0000-4000-8000-000000000002")
    for picture in Picture:
        images.put(ID, picture, b"mine")
    images.put(neighbour, Picture.SCAN, b"another's")

    images.delete(ID)
    images.delete(ID)

    assert [p.read_bytes() for p in tmp_path.rglob("*.png")] == [b"another's"]


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)

    with pytest.raises(StorageError, match="No space left"):
        images.put(ID, Picture.SCAN, b"scan")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "hostile",
    [
        "../../etc/passwd",
        "a1b2c3d4-0000-4000-8000-000000000001",
        "..",
        "/etc/passwd",
        "a1/../../x",
        b"a1",
        1,
        None,
        Path("/etc/passwd"),
    ],
)
def test_only_a_uuid_names_a_picture(images: ImageStore, hostile: Any) -> None:
    for use in (
        lambda: images.get(hostile, Picture.SCAN),
        lambda: images.put(hostile, Picture.SCAN, b""),
        lambda: images.delete(hostile),
    ):
        with pytest.raises(TypeError, match="expected a UUID"):
            use()


@pytest.mark.parametrize("hostile", ["../scan", "scan/../../x", "", "preview"])
def test_only_a_known_kind_names_a_picture(images: ImageStore, hostile: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid Picture"):
        images.get(ID, hostile)


def test_a_link_out_of_the_store_is_not_followed(tmp_path: Path, images: ImageStore) -> None:
    outside = tmp_path / "images_backup"
    outside.mkdir()
    secret = outside / f"{ID.hex}.scan.png"
    secret.write_bytes(b"secret")
    (tmp_path / "images" / "a1").symlink_to(outside)

    with pytest.raises(StorageError, match="not where it belongs"):
        images.get(ID, Picture.SCAN)
    with pytest.raises(StorageError, match="not where it belongs"):
        images.put(ID, Picture.SCAN, b"scan")
    with pytest.raises(StorageError, match="not where it belongs"):
        images.delete(ID)
    assert secret.read_bytes() == b"secret"


def test_a_picture_that_is_a_link_is_not_followed(tmp_path: Path, images: ImageStore) -> None:
    secret = tmp_path / "secret_key"
    secret.write_bytes(b"secret")
    folder = tmp_path / "images" / "a1"
    folder.mkdir()
    (folder / f"{ID.hex}.scan.png").symlink_to(secret)

    with pytest.raises(StorageError, match="not where it belongs"):
        images.get(ID, Picture.SCAN)


def test_a_relative_folder_works_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = ImageStore(Path())
    images.put(ID, Picture.SCAN, b"scan")

    monkeypatch.chdir("/")

    assert images.get(ID, Picture.SCAN) == b"scan"


def test_pictures_are_kept_together(images: ImageStore) -> None:
    images.put_all(ID, {Picture.THUMBNAIL: b"small", Picture.SCAN: b"scan"})

    assert images.get(ID, Picture.THUMBNAIL) == b"small"
    assert images.get(ID, Picture.SCAN) == b"scan"
