import os
from pathlib import Path

import numpy as np
import pytest

from app.detection.decoding import decode
from app.detection.spec import modality
from tests.factories import (
    dicom_bytes,
    jpeg_bytes,
    make_grey,
    png16_bytes,
    png_bytes,
    tiff_bytes,
    truncated,
)
from tests.training.lab import dataset_config, make_manifest, write_manifest
from training.data.images import read_grey, write_grey
from training.data.manifest import read_index
from training.data.prepare import prepare
from training.errors import LeakError, ManifestError
from training.runs import DatasetPaths


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    return DatasetPaths(tmp_path / "dataset")


def row(path: str, **changes: str) -> dict[str, str]:
    return {"path": path, "label": "real", "source": "drawn", "patient": path} | changes


@pytest.mark.parametrize("encode", [png_bytes, png16_bytes, jpeg_bytes, tiff_bytes, dicom_bytes])
def test_a_scan_is_stored_as_the_server_would_see_it(
    tmp_path: Path, paths: DatasetPaths, encode: object
) -> None:
    assert callable(encode)
    data = encode(make_grey())
    (tmp_path / "scan").write_bytes(data)
    manifest = write_manifest(tmp_path / "m.csv", [row("scan")])

    (scan,) = prepare(manifest, dataset_config(), paths)

    seen = decode(data, modality("lung_ct")).grey
    assert np.abs(read_grey(scan.path) - seen).max() <= 0.5001 / 255
    assert scan.path.suffix == ".png"


def test_the_index_says_what_was_prepared(tmp_path: Path, paths: DatasetPaths) -> None:
    prepared = prepare(make_manifest(tmp_path, 8), dataset_config(), paths)

    assert read_index(paths.scans_index) == prepared
    assert {s.side for s in prepared} == {"train", "validation", "test"}


def test_two_scans_of_one_name_do_not_meet(tmp_path: Path, paths: DatasetPaths) -> None:
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scan.png").write_bytes(png_bytes(make_grey(seed=number)))
    manifest = write_manifest(tmp_path / "m.csv", [row("one/scan.png"), row("two/scan.png")])

    first, second = prepare(manifest, dataset_config(), paths)

    assert not np.array_equal(read_grey(first.path), read_grey(second.path))


def test_what_was_decoded_before_is_kept(tmp_path: Path, paths: DatasetPaths) -> None:
    manifest = make_manifest(tmp_path, 3)
    prepared = prepare(manifest, dataset_config(), paths)
    os.utime(prepared[0].path, (1, 1))
    prepared[1].path.unlink()

    again = prepare(manifest, dataset_config(), paths)

    assert again == prepared
    assert prepared[0].path.stat().st_mtime == 1
    assert prepared[1].path.exists()


def test_a_stage_that_was_stopped_by_a_bad_scan_goes_on_where_it_was(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 3)
    good = (tmp_path / "scan2.png").read_bytes()
    (tmp_path / "scan2.png").write_bytes(truncated(good))
    with pytest.raises(ManifestError):
        prepare(manifest, dataset_config(), paths)
    assert not paths.scans_index.exists()
    (tmp_path / "scan2.png").write_bytes(good)

    assert len(prepare(manifest, dataset_config(), paths)) == 3


def test_a_damaged_scan_is_named_as_the_manifest_names_it(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bad.png").write_bytes(truncated(png_bytes()))
    # The first row is of another modality, so a counted row would be off by one.
    (tmp_path / "knee.png").write_bytes(png_bytes())
    rows = [
        row("knee.png", modality="knee_xray"),
        row("below/bad.png", modality="lung_ct"),
    ]

    with pytest.raises(ManifestError, match=r"m\.csv: below/bad\.png: The PNG image is damaged"):
        prepare(write_manifest(tmp_path / "m.csv", rows), dataset_config(), paths)


def test_a_scan_may_be_named_by_an_absolute_path(tmp_path: Path, paths: DatasetPaths) -> None:
    (tmp_path / "scan.png").write_bytes(png_bytes())
    (tmp_path / "elsewhere").mkdir()
    rows = [row(str(tmp_path / "scan.png"))]

    (scan,) = prepare(
        write_manifest(tmp_path / "elsewhere" / "m.csv", rows), dataset_config(), paths
    )

    assert scan.path.is_file()


def test_the_origin_and_the_mask_of_a_foreign_fake_are_found_again(
    tmp_path: Path, paths: DatasetPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("real.png", "fake.png", "mask.png"):
        (tmp_path / name).write_bytes(png_bytes())
    rows = [
        row("real.png", patient="p"),
        row("fake.png", patient="p", label="fake", origin="real.png", mask="mask.png"),
    ]
    monkeypatch.chdir("/")  # where the command is run from does not matter

    prepare(write_manifest(tmp_path / "m.csv", rows), dataset_config(), paths)

    real, fake = read_index(paths.scans_index)
    assert fake.origin == str(real.path)
    assert fake.mask == str(tmp_path / "mask.png")


def test_a_foreign_fake_on_another_side_than_its_origin_is_a_leak(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 8)
    prepared = prepare(manifest, dataset_config(), paths)
    (tmp_path / "fake.png").write_bytes(png_bytes())
    origin = next(s for s in prepared if s.side != "train").path.name.split("-")[0]
    fake = f"fake.png,fake,foreign,f,{origin}.png"
    lines = manifest.read_text(encoding="utf-8").split()
    lines = [f"{lines[0]},origin", *(f"{line}," for line in lines[1:]), fake]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")

    with pytest.raises(LeakError, match=origin):
        prepare(manifest, dataset_config(), paths)


def test_grey_values_outside_the_range_are_clipped_when_written(tmp_path: Path) -> None:
    write_grey(tmp_path / "a" / "grey.png", np.array([[-1.0, 0.5], [1.0, 2.0]], dtype=np.float32))

    assert read_grey(tmp_path / "a" / "grey.png") == pytest.approx(
        np.array([[0, 128 / 255], [1, 1]]), abs=1e-6
    )
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["grey.png"]
