from pathlib import Path

import numpy as np
import pytest

from app.detection.spec import modality
from tests.factories import png_bytes
from tests.training.lab import make_lung, write_dataset, write_manifest
from training.data.manifest import write_index
from training.errors import ManifestError, StageMissingError
from training.gate.images import SIDE_PIXELS, foreign_images, read_thumbnails, right_images
from training.runs import DatasetPaths, dataset_paths


def rows_in(folder: Path, names: list[str], kind: str = "photograph") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(make_lung(len(rows))))
        rows.append({"path": name, "modality": kind, "source": "drawn", "licence": "our own"})
    return rows


def test_scans_and_fakes_of_a_data_set_come_with_their_sides(tmp_path: Path) -> None:
    paths = dataset_paths(tmp_path, "lungs")
    paths.root.mkdir(parents=True)
    scans = write_dataset(paths.root, train=2, validation=1, test=1)
    write_index(paths.scans_index, [s for s in scans if not s.generator])
    write_index(paths.fakes_index("square"), [s for s in scans if s.generator])

    images = right_images([paths])

    assert all(image.is_right for image in images)
    assert {image.kind for image in images if image.is_fake} == {"square", "blocks"}
    assert {image.kind for image in images if not image.is_fake} == {"drawn"}
    assert sorted(image.side for image in images) == sorted(scan.side for scan in scans)


def test_without_prepared_scans_the_stage_to_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageMissingError, match="prepare --dataset lungs"):
        right_images([DatasetPaths(tmp_path / "lungs")])


def test_rows_of_other_modalities_are_the_foreign_images(tmp_path: Path) -> None:
    rows = rows_in(tmp_path, ["a.png"], "lung_ct") + rows_in(tmp_path, ["b.png", "c.png"])
    manifest = write_manifest(tmp_path / "manifest.csv", rows)

    images = foreign_images(manifest, "lung_ct")

    assert {image.path.name for image in images} == {"b.png", "c.png"}
    assert {(image.kind, image.licence) for image in images} == {("photograph", "our own")}


def test_images_in_many_folders_are_divided_by_folder(tmp_path: Path) -> None:
    names = [f"class{folder}/{number}.png" for folder in range(40) for number in range(3)]
    manifest = write_manifest(tmp_path / "manifest.csv", rows_in(tmp_path, names))

    images = foreign_images(manifest, "lung_ct")

    sides_of = {
        f: {i.side for i in images if i.path.parent.name == f}
        for f in {i.path.parent.name for i in images}
    }
    assert all(len(sides) == 1 for sides in sides_of.values())
    assert {side for sides in sides_of.values() for side in sides} == {
        "train",
        "validation",
        "test",
    }


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"path": "x.png", "modality": "photograph"}], "the column 'source' is missing"),
        (
            [{"path": "x.png", "modality": "photograph", "source": "s"}],
            "row 2: there is no file 'x.png'",
        ),
        (
            [{"path": "x.png", "modality": "lung_ct", "source": "s"}],
            "no image in it that is not of lung_ct",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(
    tmp_path: Path, rows: list[dict[str, object]], says: str
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", rows)

    with pytest.raises(ManifestError, match=says):
        foreign_images(manifest, "lung_ct")


def test_thumbnails_are_the_images_small_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", rows_in(tmp_path, ["a.png", "b.png"]))
    images = foreign_images(manifest, "lung_ct")

    small = read_thumbnails(images, modality("lung_ct"))

    assert small.shape == (2, SIDE_PIXELS, SIDE_PIXELS)
    assert small.dtype == np.uint8
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(ManifestError, match=r"b\.png"):
        read_thumbnails(images, modality("lung_ct"))
