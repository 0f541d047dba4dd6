import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from app.detection.decoding import decode
from app.detection.labels import Label
from app.detection.spec import modality
from tests.training.lab import a_scan, make_lung, make_manifest
from training.cli import main
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan
from training.fakes.as_dicom import dicom_of, write_dicoms

TYPE_1 = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("ConversionType", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber", "PatientOrientation"),
)
CONFIG = """
name = "drawn"
modality = "lung_ct"
seed = 1
[sides]
train = 0.5
validation = 0.25
test = 0.25
[[fakes]]
generator = "classical_edits"
name = "edits"
[fakes.arguments]
sites = "lung"
min_side = 12
max_side = 16
donors_per_scan = 1
[fakes.full_size_arguments]
donors_per_scan = 2
"""


def a_fake(folder: Path, *, side: int = 96, **changes: str) -> Scan:
    write_grey(folder / "scan1-0.png", make_lung(1, side))
    fields = {"generator": "dcgan", "seed": "17", "patient": "p1"} | changes
    return a_scan(folder / "scan1-0.png", label=Label.FAKE, **fields)


@pytest.mark.parametrize("key", ["lung_ct", "knee_xray"])
@pytest.mark.parametrize("side", [96, 97])
def test_the_server_decodes_what_was_written(key: str, side: int, tmp_path: Path) -> None:
    fake = a_fake(tmp_path, side=side)

    scan = decode(dicom_of(fake, key), modality(key))

    assert scan.image_format == "DICOM"
    assert scan.declared_synthetic
    assert scan.grey == pytest.approx(read_grey(fake.path), abs=1e-6)


def test_it_is_a_secondary_capture_that_says_what_made_it(tmp_path: Path) -> None:
    fake = a_fake(tmp_path, tamper="removal")

    dataset = pydicom.dcmread(io.BytesIO(dicom_of(fake, "lung_ct")))

    assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
    assert dataset[0x0008, 0x001C].value == "YES"
    assert dataset.Modality == "CT"
    assert dataset.DerivationDescription == "generator=dcgan; seed=17; tamper=removal"
    assert dataset.ImageType == ["DERIVED", "SECONDARY"]
    for keyword in TYPE_1:
        assert dataset[keyword].value not in ("", None), keyword
    for keyword in TYPE_2:
        assert keyword in dataset, keyword


def test_nothing_in_it_tells_of_a_person(tmp_path: Path) -> None:
    fake = a_fake(tmp_path, source="hospital", patient="Jane Doe")

    data = dicom_of(fake, "lung_ct")

    dataset = pydicom.dcmread(io.BytesIO(data))
    assert b"Jane" not in data
    assert b"hospital" not in data
    assert all(not dataset[keyword].value for keyword in TYPE_2)


def test_a_modality_without_a_code_of_its_own_is_another(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_of(a_fake(tmp_path), "retinal_fundus")))

    assert dataset.Modality == "OT"


def test_the_same_fake_is_the_same_file_and_another_another(tmp_path: Path) -> None:
    fake, other = a_fake(tmp_path), a_fake(tmp_path, seed="18")

    assert dicom_of(fake, "lung_ct") == dicom_of(fake, "lung_ct")
    uids = {
        str(pydicom.dcmread(io.BytesIO(dicom_of(f, "lung_ct"))).SOPInstanceUID)
        for f in (fake, other)
    }
    assert len(uids) == 2


def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    fake = a_fake(tmp_path)
    write_dicoms("lung_ct", tmp_path, [fake])
    file = tmp_path / "dicom" / "scan1-0.dcm"
    file.write_bytes(b"mine")

    write_dicoms("lung_ct", tmp_path, [fake])

    assert file.read_bytes() == b"mine"


def test_the_command_writes_dicom_files_and_keeps_the_sizes_apart(tmp_path: Path) -> None:
    config = tmp_path / "drawn.toml"
    config.write_text(CONFIG, encoding="utf-8")
    runs = tmp_path / "runs"
    common = ["--dataset", str(config), "--runs", str(runs)]
    manifest = str(make_manifest(tmp_path, 6))
    CliRunner().invoke(main, ["prepare", *common, "--manifest", manifest], catch_exceptions=False)

    made = CliRunner().invoke(main, ["fakes", *common, "--dicom"], catch_exceptions=False)
    mixed = CliRunner().invoke(main, ["fakes", *common, "--full-size"])

    folder = runs / "datasets" / "drawn" / "fakes" / "edits"
    images = {p.stem for p in (folder / "images").iterdir()}
    assert made.exit_code == 0
    assert images
    assert {p.stem for p in (folder / "dicom").iterdir()} == images
    for file in (folder / "dicom").iterdir():
        grey = decode(file.read_bytes(), modality("lung_ct")).grey
        assert np.allclose(grey, read_grey(folder / "images" / f"{file.stem}.png"), atol=1e-6)
    assert mixed.exit_code == 1
    assert "was made with other settings" in mixed.stderr
