from pathlib import Path

import nibabel
import numpy as np
import pytest

from app.detection.spec import modality
from tests.training.data.volume_files import write_meta_image, write_nifti
from training.data.volumes import (
    is_volume,
    middle_indices,
    read_volume,
    slice_count,
    slice_grey,
    volume_stem,
)
from training.errors import SourceError

VOLUME = np.random.default_rng(0).integers(-1000, 400, (5, 7, 9)).astype(np.int16)


@pytest.mark.parametrize("name", ["chest.nii", "chest.nii.gz"])
def test_nifti_is_read_as_a_radiologist_sees_it(tmp_path: Path, name: str) -> None:
    path = write_nifti(tmp_path / name, VOLUME)

    assert np.array_equal(read_volume(path), VOLUME)
    assert slice_count(path) == 5


@pytest.mark.parametrize("name", ["chest.mhd", "chest.mha"])
@pytest.mark.parametrize("compressed", [False, True])
def test_meta_images_are_read(tmp_path: Path, name: str, compressed: bool) -> None:
    path = write_meta_image(tmp_path / name, VOLUME, compressed=compressed)

    assert np.array_equal(read_volume(path), VOLUME)
    assert slice_count(path) == 5


def test_a_meta_image_that_lies_on_its_face_is_turned(tmp_path: Path) -> None:
    path = write_meta_image(tmp_path / "a.mhd", VOLUME, matrix="-1 0 0 0 -1 0 0 0 1")

    assert np.array_equal(read_volume(path), VOLUME[:, ::-1, ::-1])


def test_a_meta_image_of_another_byte_order_is_read(tmp_path: Path) -> None:
    path = write_meta_image(tmp_path / "a.mhd", VOLUME.byteswap(), BinaryDataByteOrderMSB="True")

    assert np.array_equal(read_volume(path), VOLUME)


def test_slices_are_seen_in_the_window_of_the_modality(tmp_path: Path) -> None:
    volume = np.tile(VOLUME, (1, 10, 10))
    path = write_meta_image(tmp_path / "a.mhd", volume)

    grey = slice_grey(path, 2, modality("lung_ct"))

    assert grey.dtype == np.float32
    assert grey == pytest.approx(np.clip((volume[2] + 1350) / 1500, 0, 1), abs=1e-6)


def test_slices_that_no_server_would_judge_are_refused(tmp_path: Path) -> None:
    small = write_meta_image(tmp_path / "small.mhd", VOLUME)
    empty = tmp_path / "empty.nii"
    values = np.full((70, 80, 3), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), empty)  # type: ignore[no-untyped-call]  # no types

    with pytest.raises(SourceError, match=r"small\.mhd: its slices have 9 × 7 pixels"):
        slice_grey(small, 2, modality("lung_ct"))
    with pytest.raises(SourceError, match=r"empty\.nii: slice 1 holds values that are no numbers"):
        slice_grey(empty, 1, modality("lung_ct"))


def test_a_header_that_promises_more_slices_than_there_can_be_is_refused(tmp_path: Path) -> None:
    path = write_meta_image(tmp_path / "a.mhd", VOLUME, DimSize="9 7 99999999")

    with pytest.raises(SourceError, match=r"a\.mhd says that it holds 99999999 slices"):
        slice_count(path)


def test_a_modality_without_a_window_has_no_volumes(tmp_path: Path) -> None:
    path = write_meta_image(tmp_path / "a.mhd", VOLUME)

    with pytest.raises(SourceError, match="knee_xray has no window"):
        slice_grey(path, 2, modality("knee_xray"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mhd", b""),
        ("a.mhd", b"NDims = 3\n"),
        ("a.mhd", b"DimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = none.raw\n"),
        ("a.mha", b"DimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n1234"),
        ("a.mha", b"DimSize = 2 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n12345678"),
        ("a.mha", b"DimSize = 1 1 2\nElementType = MET_ODD\nElementDataFile = LOCAL\n1234"),
        ("a.mha", b"\xff\xfe\x00\n"),
        ("a.nii", b"nothing of the kind"),
        ("a.nii.gz", b"\x1f\x8b\x08 but cut short"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(SourceError, match=name.replace(".", r"\.")):
        read_volume(tmp_path / name)


def test_volumes_are_told_by_their_names() -> None:
    names = ["a.NII", "a.nii.gz", "a.mhd", "a.mha"]

    assert all(is_volume(Path(name)) for name in names)
    assert not is_volume(Path("a.dcm"))
    assert volume_stem(Path("a.b.nii.gz")) == "a.b"


@pytest.mark.parametrize(
    ("count", "every", "indices"),
    [
        (11, 1, [3, 4, 5, 6, 7]),
        (11, 3, [3, 6]),
        (2, 10, [0]),
        (1, 10, [0]),
        (101, 20, [30, 50, 70]),
    ],
)
def test_the_middle_has_at_least_one_slice(count: int, every: int, indices: list[int]) -> None:
    assert list(middle_indices(count, every)) == indices
