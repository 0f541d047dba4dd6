import os
from collections.abc import Callable
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
from tests.training.data.volume_files import write_meta_image
from tests.training.lab import dataset_config, make_lung, make_manifest, write_manifest
from training.data.images import at_most_as_long, read_grey, write_grey
from training.data.manifest import read_index
from training.data.prepare import DECODED_FILE, PrepareOptions, prepare, unreadable_in
from training.data.sources.base import SourceOptions
from training.errors import (
    DuplicateScansError,
    LeakError,
    ManifestError,
    OtherFileError,
    ShortcutError,
    SourceError,
    StaleRunError,
    TooFewScansError,
)
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


def test_a_data_set_may_take_other_modalities_and_store_large_images_smaller(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    for name, side in {"heart": 96, "hand": 64, "lung": 96}.items():
        (tmp_path / f"{name}.png").write_bytes(png_bytes(make_lung(side, side)))
    rows = [row(f"{name}.png", modality=name) for name in ("heart", "hand", "lung")]
    manifest = write_manifest(tmp_path / "m.csv", rows)
    config = dataset_config(takes=["heart", "hand"], longest_side=80)

    prepared = prepare(manifest, config, paths)

    sizes = {s.path.stem.split("-")[0]: read_grey(s.path).shape for s in prepared}
    assert sizes == {"heart": (80, 80), "hand": (64, 64)}


def test_images_of_two_sizes_do_not_mix(tmp_path: Path, paths: DatasetPaths) -> None:
    manifest = make_manifest(tmp_path, 4)
    prepare(manifest, dataset_config(longest_side=80), paths)

    with pytest.raises(StaleRunError):
        prepare(manifest, dataset_config(longest_side=72), paths)


@pytest.mark.parametrize(
    ("shape", "smaller"), [((100, 40), (50, 20)), ((40, 100), (20, 50)), ((30, 50), (30, 50))]
)
def test_the_longer_side_is_shortened_and_the_other_with_it(
    shape: tuple[int, int], smaller: tuple[int, int]
) -> None:
    grey = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None].repeat(shape[1], 1)

    scaled = at_most_as_long(grey, 50)

    assert scaled.shape == smaller
    assert scaled[:, 0] == pytest.approx(np.linspace(0, 1, smaller[0]), abs=0.03)


def test_a_place_in_an_image_that_is_scaled_down_is_refused(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(make_lung()))
    manifest = write_manifest(tmp_path / "m.csv", [row("a.png", x="40", y="30")])

    with pytest.raises(ManifestError, match=r"a\.png: x and y are pixels"):
        prepare(manifest, dataset_config(longest_side=48), paths)


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


def test_another_file_under_a_prepared_scans_name_is_refused_not_passed_over(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 3)
    prepare(manifest, dataset_config(), paths)
    (tmp_path / "scan1.png").write_bytes(png_bytes(make_lung(77)))

    with pytest.raises(OtherFileError, match=r"scan1\.png is another file .* Delete .*dataset"):
        prepare(manifest, dataset_config(), paths)


def test_a_list_of_files_that_a_kill_has_torn_is_read_as_far_as_it_goes(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 3)
    prepared = prepare(manifest, dataset_config(), paths)
    whole = (paths.root / DECODED_FILE).read_bytes()
    (paths.root / DECODED_FILE).write_bytes(whole[:-100])

    assert prepare(manifest, dataset_config(), paths) == prepared
    assert (paths.root / DECODED_FILE).read_bytes() == whole


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


# --- what is refused, by row or column ------------------------------------------------------


def write_pictures(folder: Path, count: int, encode: Callable[..., bytes], name: str) -> None:
    for number in range(count):
        (folder / f"{name}{number}").write_bytes(encode(make_lung(number + ord(name[0]))))


def test_a_copy_that_was_encoded_anew_for_another_patient_names_both_rows(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 6)
    (tmp_path / "copy.jpg").write_bytes(jpeg_bytes(make_lung(3)))
    with manifest.open("a", encoding="utf-8") as file:
        file.write("copy.jpg,real,drawn,another\n")

    with pytest.raises(DuplicateScansError, match=r"scan3\.png and copy\.jpg show the same image"):
        prepare(manifest, dataset_config(), paths)

    assert not paths.scans_index.exists()


def test_fakes_of_another_file_format_are_refused_by_column(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    write_pictures(tmp_path, 6, png_bytes, "real")
    write_pictures(tmp_path, 6, jpeg_bytes, "fake")
    rows = [
        row(f"{label}{n}", label=label, source=label, patient=f"{label}{n}")
        for label in ("real", "fake")
        for n in range(6)
    ]
    manifest = write_manifest(tmp_path / "m.csv", rows)

    with pytest.raises(ShortcutError, match="file_format"):
        prepare(manifest, dataset_config(), paths)
    known = PrepareOptions(accepted=("file_format", "quantisation", "file_size"))
    assert len(prepare(manifest, dataset_config(), paths, known)) == 12


def test_a_row_that_stands_twice_is_refused(tmp_path: Path, paths: DatasetPaths) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes())
    manifest = write_manifest(tmp_path / "m.csv", [row("a.png"), row("./a.png", patient="a.png")])

    with pytest.raises(ManifestError, match=r"a\.png is listed twice"):
        prepare(manifest, dataset_config(), paths)


def test_a_side_that_is_none_is_refused_by_row(tmp_path: Path, paths: DatasetPaths) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes())
    manifest = write_manifest(tmp_path / "m.csv", [row("a.png", side="left")])

    with pytest.raises(ManifestError, match=r"a\.png: side 'left' is none of train, validation"):
        prepare(manifest, dataset_config(), paths)


def test_a_patient_on_two_given_sides_is_refused_with_a_row_of_each(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    write_pictures(tmp_path, 2, png_bytes, "s")
    rows = [row("s0", patient="p", side="train"), row("s1", patient="p", side="test")]

    with pytest.raises(LeakError, match=r"patient drawn/p .*s1 and .*s0"):
        prepare(write_manifest(tmp_path / "m.csv", rows), dataset_config(), paths)


def test_fakes_alone_are_refused(tmp_path: Path, paths: DatasetPaths) -> None:
    write_pictures(tmp_path, 2, png_bytes, "s")
    rows = [row("s0", label="fake"), row("s1", label="fake")]

    with pytest.raises(TooFewScansError, match="no authentic scan on the training side"):
        prepare(write_manifest(tmp_path / "m.csv", rows), dataset_config(), paths)


# --- what cannot be read --------------------------------------------------------------------


def test_unreadable_scans_are_left_out_and_listed_on_demand(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 4)
    (tmp_path / "scan2.png").write_bytes(truncated(png_bytes()))

    prepared = prepare(manifest, dataset_config(), paths, PrepareOptions(skip_unreadable=True))

    assert [scan.path.stem[:5] for scan in prepared] == ["scan0", "scan1", "scan3"]
    ((name, problem),) = unreadable_in(paths)
    assert name == "scan2.png"
    assert "damaged" in problem
    (tmp_path / "scan2.png").write_bytes(png_bytes(make_lung(2)))
    assert len(prepare(manifest, dataset_config(), paths)) == 4
    assert unreadable_in(paths) == []


def test_nothing_readable_is_refused(tmp_path: Path, paths: DatasetPaths) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    manifest = write_manifest(tmp_path / "m.csv", [row("a.png")])

    with pytest.raises(TooFewScansError, match=r"unreadable\.csv"):
        prepare(manifest, dataset_config(), paths, PrepareOptions(skip_unreadable=True))


# --- public sets ----------------------------------------------------------------------------


def test_a_manifest_and_public_sets_are_prepared_together(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    manifest = make_manifest(tmp_path, 3)
    volume = (np.stack([make_lung(90 + n) for n in range(10)]) * 1500 - 1350).astype(np.int16)
    write_meta_image(tmp_path / "luna" / "subset0" / "1.2.mhd", volume)
    options = PrepareOptions(
        sources=[("luna16", tmp_path / "luna")], source_options=SourceOptions(every_slice=2)
    )

    prepared = prepare(manifest, dataset_config(), paths, options)

    assert [(s.source, s.patient) for s in prepared[3:]] == [("luna16", "1.2")] * 2
    assert len({s.side for s in prepared[3:]}) == 1
    assert read_grey(prepared[3].path) == pytest.approx(make_lung(93), abs=0.004)
    assert prepared[3].path.name.startswith("1.2-0003-")


def test_nothing_to_prepare_is_said(paths: DatasetPaths) -> None:
    with pytest.raises(SourceError, match="name a manifest or a source"):
        prepare(None, dataset_config(), paths)


def test_a_broken_volume_is_named(tmp_path: Path, paths: DatasetPaths) -> None:
    path = write_meta_image(tmp_path / "luna" / "1.2.mhd", np.zeros((4, 80, 80), np.int16))
    path.with_suffix(".raw").write_bytes(b"short")
    options = PrepareOptions(sources=[("luna16", tmp_path / "luna")])

    with pytest.raises(ManifestError, match=r"1\.2\.mhd/0001: .*cannot be read as a volume"):
        prepare(None, dataset_config(), paths, options)
