from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.detection.labels import Label
from app.detection.spec import modality
from app.errors import UploadError
from tests.factories import dicom_bytes, make_grey, png_bytes
from tests.training.data.volume_files import write_meta_image, write_nifti
from training.data.raw import RawScan
from training.data.sources.base import (
    SourceOptions,
    read_source,
    register,
    sources,
)
from training.errors import ManifestError, SourceError


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def rows(raws: Sequence[RawScan]) -> list[tuple[str, Label, str]]:
    return [(raw.name, raw.scan.label, raw.scan.patient) for raw in raws]


def a_slice(number: int, *, series: str = "1.2.3", **attributes: Any) -> bytes:
    """Encode a CT slice at a height of ``number`` mm, of its own brightness."""
    place: dict[str, Any] = {
        "ImagePositionPatient": [0, 0, number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceThickness": 1,
    }
    return dicom_bytes(make_grey(seed=number), SeriesInstanceUID=series, **(place | attributes))


# --- the lookup -----------------------------------------------------------------------------


def test_the_public_sets_are_known_by_name() -> None:
    names = [
        "ctgan",
        "folder",
        "knee_severity",
        "lidc",
        "luna16",
        "prezja_knees",
        "veriscan_reviews",
    ]

    assert list(sources()) == names


def test_an_unknown_set_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no source 'm4d'. Known: ctgan, folder, "):
        read_source("m4d", tmp_path)


def test_a_name_is_given_once() -> None:
    sources()

    with pytest.raises(SourceError, match="'ctgan' is registered twice"):
        register("ctgan", licence="")(lambda _root, _options: [])


@pytest.mark.parametrize("name", ["ctgan", "knee_severity", "lidc", "luna16", "prezja_knees"])
def test_a_folder_without_the_set_is_refused_with_where_to_read_on(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(SourceError, match=rf"no scan was found .*sources/{name}\.py"):
        read_source(name, tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        read_source("lidc", tmp_path / "none")


def test_a_limit_takes_scans_from_all_over_the_set(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / "real" / f"p{number}.png", png_bytes())

    found = read_source("folder", tmp_path, SourceOptions(limit=4))

    assert [raw.name for raw in found] == [f"real/p{n}.png" for n in (0, 2, 5, 7)]


# --- ctgan ----------------------------------------------------------------------------------

LABELS_1 = """type,uuid,slice,x,y
FM,1003,40,100,120
FM,1003,40,200,220
TB,1003,60,50,60
TB,1003,70,50,60
TM,1004,9,10,20
"""
LABELS_2 = "type, uuid, slice, x, y\nFB,2001,2,30,40\n"
LAYOUTS = {
    "uci": ("Tampered Scans/Experiment 1 - Blind", "Tampered Scans/Experiment 2 - Open"),
    "kaggle": ("CT_Scans/EXP1_blind", "CT_Scans/EXP2_open"),
}


@pytest.fixture(params=LAYOUTS)
def ctgan(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    blind, unblinded = LAYOUTS[request.param]
    labels = tmp_path / blind.split("/")[0] if request.param == "uci" else tmp_path
    write(labels / "labels_exp1.csv", LABELS_1.encode())
    write(labels / "labels_exp2.csv", LABELS_2.encode())
    for uuid, numbers in (("1003", (39, 40, 60, 70)), ("1004", (9,))):
        for number in numbers:
            write(tmp_path / blind / uuid / f"{number}.dcm", a_slice(number))
    for number in (1, 2, 3):  # names that are no numbers: the place from below counts
        write(tmp_path / unblinded / "2001" / f"IM{9 - number}.dcm", a_slice(number))
    return tmp_path


def test_ctgan_gives_the_tampered_slices_and_authentic_ones_out_of_their_reach(
    ctgan: Path,
) -> None:
    found = read_source("ctgan", ctgan)

    assert [(raw.scan.patient, raw.scan.path.stem, raw.scan.label) for raw in found] == [
        ("1003", "40", Label.FAKE),
        ("1003", "70", Label.REAL),  # 30 mm away; slice 60 may be touched
        ("1004", "9", Label.REAL),
        ("2001", "IM6", Label.FAKE),
    ]


def test_ctgan_says_what_was_done_and_where(ctgan: Path) -> None:
    injected, authentic, _, removed = (raw.scan for raw in read_source("ctgan", ctgan))

    assert (injected.tamper, injected.x, injected.y) == ("injection", "100", "120")
    assert (removed.tamper, removed.x, removed.y) == ("removal", "30", "40")
    assert (authentic.tamper, authentic.x, authentic.generator) == ("", "", "")
    assert injected.generator == injected.source == "ctgan"
    assert "Mirsky" in injected.licence


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("type,uuid,slice,x\n", "column 'y' is missing"),
        ("type,uuid,slice,x,y\nXX,1003,40,1,2\n", "row 2: type 'XX' is unknown"),
        ("type,uuid,slice,x,y\nFM,1003,forty,1,2\n", "row 2: cannot be read"),
    ],
)
def test_a_bad_label_file_is_named_with_its_row(ctgan: Path, labels: str, problem: str) -> None:
    (path,) = ctgan.rglob("labels_exp1.csv")
    path.write_text(labels, encoding="utf-8")

    with pytest.raises(ManifestError, match=problem):
        read_source("ctgan", ctgan)


@pytest.mark.parametrize("row", ["FM,1003,999,1,2", "FM,4444,1,1,2"])
def test_labels_of_slices_that_are_not_there_are_refused(ctgan: Path, row: str) -> None:
    (path,) = ctgan.rglob("labels_exp1.csv")
    path.write_text(f"type,uuid,slice,x,y\n{row}\n", encoding="utf-8")

    with pytest.raises(SourceError, match=r"999|4444"):
        read_source("ctgan", ctgan)


def test_labels_without_their_scans_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "labels_exp1.csv", LABELS_1.encode())

    with pytest.raises(SourceError, match="not the scans of experiment 1"):
        read_source("ctgan", tmp_path)


# --- knees ----------------------------------------------------------------------------------


def test_both_knees_of_a_person_are_one_patient_and_a_knee_is_taken_once(tmp_path: Path) -> None:
    for name in (
        "kneeKL224/train/0/9001695L.png",
        "kneeKL224/test/3/9001695R.png",
        "kneeKL224/auto_test/3/9001695_1.png",
        "kneeKL224/val/2/9002116L.png",
        "kneeKL299/train/0/9001695L.png",
    ):
        write(tmp_path / name, png_bytes())

    found = read_source("knee_severity", tmp_path)

    assert [(raw.scan.path.name, raw.scan.patient, raw.scan.grade) for raw in found] == [
        ("9001695L.png", "9001695", "0"),
        ("9002116L.png", "9002116", "2"),
        ("9001695R.png", "9001695", "3"),
    ]
    assert all("kneeKL224" in raw.name for raw in found)


def test_a_knee_of_nobody_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0" / "knee.png", png_bytes())

    with pytest.raises(SourceError, match=r"knee\.png is not named after a participant"):
        read_source("knee_severity", tmp_path)


def test_synthetic_knees_stand_for_themselves(tmp_path: Path) -> None:
    for name in ("KL01_160K/1.png", "KL234_160K/1.png", "readme/logo.png"):
        write(tmp_path / name, png_bytes())

    found = read_source("prezja_knees", tmp_path)

    assert rows(found) == [
        ("KL01_160K/1.png", Label.FAKE, "KL01_160K-1"),
        ("KL234_160K/1.png", Label.FAKE, "KL234_160K-1"),
    ]


# --- chest CT -------------------------------------------------------------------------------


def test_lidc_gives_the_middle_of_each_ct_sorted_by_position(tmp_path: Path) -> None:
    study = tmp_path / "LIDC-IDRI-0007" / "study"
    for number in range(20):  # the names run against the positions
        write(study / "ct" / f"1-{40 - number}.dcm", a_slice(number, series="1.1"))
    for number in range(12):
        write(study / "dx" / f"{number}.dcm", a_slice(number, series="1.2", Modality="DX"))
    write(study / "scout" / "1.dcm", a_slice(1, series="1.3"))

    found = read_source("lidc", tmp_path, SourceOptions(every_slice=3))

    assert [raw.scan.path.stem for raw in found] == ["1-34", "1-31", "1-28"]
    assert {raw.scan.patient for raw in found} == {"LIDC-IDRI-0007"}


def test_luna16_gives_windowed_slices_of_the_middle(tmp_path: Path) -> None:
    volume = (
        np.arange(20, dtype=np.int16)[:, None, None] * 10 - 700 + np.zeros((1, 70, 80), np.int16)
    )
    write_meta_image(tmp_path / "subset0" / "1.3.6.mhd", volume)
    write_meta_image(tmp_path / "seg-lungs-LUNA16" / "1.3.6.mhd", volume)

    found = read_source("luna16", tmp_path, SourceOptions(every_slice=4))

    assert rows(found) == [
        (f"subset0/1.3.6.mhd/{index:04d}", Label.REAL, "1.3.6") for index in (6, 10)
    ]
    grey = found[0].read(modality("lung_ct"))
    assert grey.shape == (70, 80)
    assert grey == pytest.approx((-640 + 1350) / 1500)


# --- a folder of one's own ------------------------------------------------------------------


def test_a_folder_has_two_classes_and_patients_by_name(tmp_path: Path) -> None:
    for name in ("real/p1_left.png", "real/p1_right.png", "real/p2.jpg", "fake/stylegan/p2_x.png"):
        write(tmp_path / "mine" / name, png_bytes())
    write(tmp_path / "mine" / "fake" / ".hidden.png", b"")

    found = read_source("folder", tmp_path / "mine")

    assert rows(found) == [
        ("real/p1_left.png", Label.REAL, "p1"),
        ("real/p1_right.png", Label.REAL, "p1"),
        ("real/p2.jpg", Label.REAL, "p2"),
        ("fake/stylegan/p2_x.png", Label.FAKE, "p2"),
    ]
    assert {raw.scan.source for raw in found} == {"mine"}
    assert found[-1].scan.generator == "stylegan"


def test_files_that_all_begin_alike_stand_for_a_person_each(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "fake" / f"IMG_{number}.png", png_bytes())

    assert [raw.scan.patient for raw in read_source("folder", tmp_path)] == [
        "IMG_0",
        "IMG_1",
        "IMG_2",
    ]


def test_a_series_in_a_folder_gives_its_middle_and_a_pseudonym(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / "real" / f"{number}.dcm", a_slice(number))
    write(tmp_path / "fake" / "one.dcm", a_slice(3, series="9.9"))

    found = read_source("folder", tmp_path, SourceOptions(every_slice=2))

    assert [raw.scan.path.name for raw in found] == ["3.dcm", "5.dcm", "one.dcm"]
    assert len({raw.scan.patient for raw in found}) == 1  # their headers name one patient
    assert "SENTINEL" not in found[0].scan.patient


def test_dicom_files_without_an_ending_are_found_among_others(tmp_path: Path) -> None:
    write(tmp_path / "real" / "study" / "IM0001", a_slice(1))
    write(tmp_path / "real" / "study" / "1.2.840.7", a_slice(2))
    write(tmp_path / "real" / "LICENSE", b"as is")

    names = [raw.name for raw in read_source("folder", tmp_path)]

    assert names == ["real/study/IM0001", "real/study/1.2.840.7"]


def test_a_file_that_only_calls_itself_dicom_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.dcm", a_slice(1))
    write(tmp_path / "real" / "b.dcm", b"nothing of the kind")

    found = read_source("folder", tmp_path)

    assert [raw.name for raw in found] == ["real/a.dcm", "real/b.dcm"]
    with pytest.raises(UploadError):
        found[1].read(modality("lung_ct"))


@pytest.mark.parametrize(
    "place",
    [{"ImagePositionPatient": [0, 1]}, {"ImageOrientationPatient": [1, 0, 0]}],
    ids=["position", "orientation"],
)
def test_a_slice_that_does_not_say_where_it_stands_is_named(
    tmp_path: Path, place: dict[str, Any]
) -> None:
    write(tmp_path / "real" / "a.dcm", a_slice(1, **place))

    with pytest.raises(SourceError, match=r"a\.dcm: what it says of its place .* is damaged"):
        read_source("folder", tmp_path)


def test_volumes_in_a_folder_give_slices(tmp_path: Path) -> None:
    write_nifti(tmp_path / "real" / "p1_chest.nii.gz", np.zeros((12, 70, 80), np.int16))

    found = read_source("folder", tmp_path, SourceOptions(every_slice=2))

    assert rows(found) == [
        (f"real/p1_chest.nii.gz/{index:04d}", Label.REAL, "p1") for index in (3, 5, 7)
    ]


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")

    with pytest.raises(SourceError, match="neither real/ nor fake/"):
        read_source("folder", tmp_path)
