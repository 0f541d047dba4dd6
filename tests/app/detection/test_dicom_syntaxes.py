"""DICOM in every compression, of scanners of several makers, and pydicom's own test files."""

import io
import re
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest

from app.detection import limits
from app.detection.decoding import DecodedScan, decode
from app.detection.dicom_header import MAX_ELEMENTS, read_header
from app.detection.limits import DecodingLimits
from app.detection.spec import modality
from app.errors import (
    DamagedImageError,
    FileTooLargeError,
    TooManyPixelsError,
    UnsupportedDicomError,
    UploadError,
)
from tests.dicom_files import PATIENT, make_dicom, save_dicom
from tests.factories import dicom_bytes, grey8, grey16, make_grey, truncated
from tests.scanners import (
    LOSSLESS,
    SCANNERS,
    SYNTAXES,
    compressed,
    encoded,
    enhanced_ct,
    hounsfield,
)

LUNG = modality("lung_ct")
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
HALF_UNIT = 0.5 / 1500 + 1e-6
PADDED_ROWS = 4
SERIES_KEY = b"a key"


def decoded(data: bytes, frame: int = 0) -> DecodedScan:
    return decode(data, LUNG, frame=frame, series_key=SERIES_KEY)


def difference(data: bytes) -> float:
    return float(np.abs(decoded(data).grey - make_grey()).max())


# --- compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYNTAXES)
def test_a_radiograph_of_8_bits_is_read_in_every_compression(name: str) -> None:
    tolerance = 0.5 / 255 + 1e-6 if name in LOSSLESS else 0.04

    assert difference(compressed(grey8(), name)) <= tolerance


@pytest.mark.parametrize("name", [*LOSSLESS, "JPEG-LS near-lossless"])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_a_ct_is_read_signed_and_unsigned(name: str, bits: int, kind: type[np.integer]) -> None:
    shift = 1350 if kind is np.uint16 else 0
    data = compressed(
        hounsfield(shift).astype(kind),
        name,
        Modality="CT",
        RescaleSlope=1,
        RescaleIntercept=-shift,
        BitsStored=bits,
        HighBit=bits - 1,
    )

    assert difference(data) <= HALF_UNIT + (2 / 1500 if "near" in name else 0)


def test_a_jpeg_of_12_bits_is_read() -> None:
    stored = np.round(make_grey() * 4095).astype(np.uint16)

    assert difference(compressed(stored, "JPEG extended", BitsStored=12, HighBit=11)) < 0.01


@pytest.mark.parametrize("name", SYNTAXES)
def test_a_compressed_image_larger_than_allowed_is_refused_before_it_is_decoded(name: str) -> None:
    large = encoded(np.zeros((1000, 3000), np.uint8), name)
    data = save_dicom(make_dicom(grey8(), Modality="DX"), SYNTAXES[name], frame=large)

    with pytest.raises(TooManyPixelsError, match="3000 × 1000"):
        decode(data, LUNG, DecodingLimits(max_pixels=1_000_000))


@pytest.mark.parametrize("name", SYNTAXES)
@pytest.mark.parametrize("share", [0.4, 0.6, 0.8, 0.95])
def test_a_compressed_file_cut_short_is_refused(name: str, share: float) -> None:
    with pytest.raises(UploadError):
        decoded(truncated(compressed(grey8(), name), share))


def test_a_jpeg_ls_that_tells_its_size_twice_is_refused() -> None:
    frame = encoded(grey8(), "JPEG-LS lossless")
    oversize = b"\xff\xf8\x00\x0c\x04\x04" + (30_000).to_bytes(4) + (30_000).to_bytes(4)
    data = save_dicom(
        make_dicom(grey8(), Modality="DX"),
        SYNTAXES["JPEG-LS lossless"],
        frame=frame[:2] + oversize + frame[2:],
    )

    with pytest.raises(DamagedImageError):
        decoded(data)


def test_a_lossless_jpeg_in_colour_gives_its_luma() -> None:
    colours = np.repeat(grey8()[..., None], 3, axis=2)
    dataset = make_dicom(colours, SamplesPerPixel=3, Modality="OT")
    frame = imagecodecs.jpeg8_encode(colours, lossless=True, colorspace="RGB", outcolorspace="RGB")

    data = save_dicom(dataset, SYNTAXES["JPEG lossless SV1"], frame=bytes(frame))

    assert difference(data) < 2 / 255


# --- deflated -----------------------------------------------------------------------------------


def test_a_deflated_file_is_the_same_as_one_that_is_not() -> None:
    deflated, plain = (dicom_bytes(transfer_syntax=s) for s in ("deflated", "explicit"))

    assert np.array_equal(decoded(deflated).grey, decoded(plain).grey)


def test_a_small_file_that_inflates_to_a_very_large_one_is_refused() -> None:
    bomb = save_dicom(make_dicom(np.zeros((4000, 4000), np.uint16)), "deflated")
    assert len(bomb) < 2**17

    with pytest.raises(FileTooLargeError):
        decode(bomb, LUNG, DecodingLimits(max_bytes=2**20))


# --- scanners -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in SCANNERS if n != "DX"])
def test_the_files_of_every_maker_show_the_same(name: str) -> None:
    scan = decoded(SCANNERS[name]())

    shown = np.abs(scan.grey - make_grey())[PADDED_ROWS:]
    assert shown.max() <= (1.5 / 1500 + 1e-5 if "CT" in name else 1 / 1023)
    assert scan.hounsfield == ((-1350, 150) if "CT" in name else None)


@pytest.mark.parametrize("name", ["GE CT", "Siemens CT, padded", "Philips CT"])
def test_where_a_scanner_had_no_values_it_is_black(name: str) -> None:
    assert decoded(SCANNERS[name]()).grey[:PADDED_ROWS].max() == 0


def test_a_sigmoid_is_followed() -> None:
    stored = np.round(make_grey() * 16383)
    expected = 1 / (1 + np.exp(-4 * (stored - 8192) / 8192))

    assert np.abs(decoded(SCANNERS["DX"]()).grey - expected).max() < 1e-5


def test_an_exact_linear_window_is_followed() -> None:
    data = save_dicom(
        make_dicom(
            np.round(make_grey() * 500 + 750).astype(np.uint16),
            Modality="DX",
            WindowCenter=1000,
            WindowWidth=500,
            VOILUTFunction="LINEAR_EXACT",
        )
    )

    assert difference(data) <= 0.5 / 500 + 1e-6


def test_what_a_spectral_ct_computes_is_not_taken_for_hounsfield_units() -> None:
    data = dicom_bytes(RescaleType="Z_EFF", WindowCenter=-600, WindowWidth=1501)

    assert decoded(data).hounsfield is None


# --- several frames -----------------------------------------------------------------------------


def test_each_frame_of_an_enhanced_ct_is_rescaled_in_its_own_way() -> None:
    scans = [decoded(enhanced_ct(3), frame) for frame in range(3)]

    for number, scan in enumerate(scans):
        assert scan.frames == 3
        assert np.abs(scan.grey - make_grey()).max() <= HALF_UNIT
        assert scan.series is not None
        assert scan.series.slice_mm == 2.5 * number


@pytest.mark.parametrize("name", ["JPEG-LS lossless", "JPEG 2000 lossless", "JPEG lossless SV1"])
def test_each_frame_of_a_compressed_file_can_be_had(name: str) -> None:
    greys = [make_grey(seed=seed) for seed in range(3)]
    frames = [encoded(grey8(grey), name) for grey in greys]
    dataset = make_dicom(np.stack([grey8(grey) for grey in greys]), Modality="DX")

    data = save_dicom(dataset, SYNTAXES[name], frames=frames)

    for number, grey in enumerate(greys):
        assert np.abs(decoded(data, number).grey - grey).max() < 0.002


@pytest.mark.parametrize("frames", [0, -1, 3, 2**31 - 1])
def test_a_file_that_says_it_holds_more_images_than_it_can_is_damaged(frames: int) -> None:
    stack = np.stack([grey16()] * 2)

    with pytest.raises(DamagedImageError):
        decoded(save_dicom(make_dicom(stack, NumberOfFrames=frames or "0")))


# --- series -------------------------------------------------------------------------------------


def test_slices_of_a_series_are_told_apart_and_told_to_belong_together() -> None:
    slices = [
        dicom_bytes(
            SeriesInstanceUID="1.2.3",
            InstanceNumber=number,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-100, -80, 10.5 - 2 * number],
        )
        for number in range(3)
    ]

    places = [decoded(data).series for data in slices]

    assert len({place.series for place in places if place}) == 1
    assert [place.slice_mm for place in places if place] == [10.5, 8.5, 6.5]
    assert [place.instance for place in places if place] == [0, 1, 2]


def test_the_series_is_a_keyed_hash() -> None:
    data = dicom_bytes(SeriesInstanceUID="1.2.3")
    one, other = (decode(data, LUNG, series_key=key).series for key in (b"one", b"other"))

    assert one
    assert other
    assert re.fullmatch("[0-9a-f]{64}", one.series)
    assert one.series != other.series


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagePositionPatient": [1, 2], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        {"ImagePositionPatient": ["1e400", 2, 3], "ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
        {"SliceLocation": "nan"},
        {"InstanceNumber": "99999999999"},
        {},
    ],
)
def test_a_place_that_makes_no_sense_is_none(attributes: dict[str, Any]) -> None:
    place = decoded(dicom_bytes(SeriesInstanceUID="1.2.3", **attributes)).series

    assert place is not None
    assert place.slice_mm is None
    assert place.instance is None


def test_a_file_of_no_series_has_no_place_in_one() -> None:
    assert decoded(dicom_bytes()).series is None


# --- what is read at all ------------------------------------------------------------------------


def test_nothing_of_the_patient_is_even_read() -> None:
    dataset = read_header(dicom_bytes(), DecodingLimits())

    assert not set(PATIENT) & set(dataset.dir())


def test_a_file_of_very_many_elements_is_refused_early() -> None:
    element = b"\x09\x00\x10\x00UN\x00\x00\x00\x00\x00\x00"
    data = dicom_bytes()

    with pytest.raises(DamagedImageError):
        decoded(data + element * (MAX_ELEMENTS + 1))


def test_a_file_without_a_preamble_is_read() -> None:
    bare = pydicom.dcmread(io.BytesIO(dicom_bytes(transfer_syntax="implicit")))
    out = io.BytesIO()
    del bare.file_meta
    pydicom.filewriter.write_dataset(_implicit(out), bare)

    assert difference(out.getvalue()) <= HALF_UNIT


def _implicit(buffer: io.BytesIO) -> pydicom.filebase.DicomIO:
    file = pydicom.filebase.DicomFileLike(buffer)
    file.is_implicit_VR = True
    file.is_little_endian = True
    return file


@pytest.mark.parametrize("kind", ["SEG", "RTDOSE"])
def test_masks_and_doses_are_no_scans(kind: str) -> None:
    with pytest.raises(UnsupportedDicomError, match="not a scan"):
        decoded(dicom_bytes(Modality=kind))


@pytest.mark.parametrize("value", ["YES", "yes "])
def test_a_file_that_says_so_has_burned_in_text(value: str) -> None:
    assert decoded(dicom_bytes(BurnedInAnnotation=value)).burned_in_text


# --- pydicom's own test files -------------------------------------------------------------------

REFUSED = frozenset(
    {
        "ExplVR_BigEndNoMeta",
        "ExplVR_LitEndNoMeta",
        "JPEG2000-embedded-sequence-delimiter",
        "MR_truncated",
        "UN_sequence",
        "badVR",
        "empty_charset_LEI",
        "examples_palette",
        "liver_1frame",
        "liver_expb_1frame",
        "meta_missing_tsyntax",
        "nested_priv_SQ",
        "no_meta",
        "no_meta_group_length",
        "priv_SQ",
        "reportsi",
        "reportsi_with_empty_number_tags",
        "rtdose",
        "rtdose_1frame",
        "rtdose_expb",
        "rtdose_expb_1frame",
        "rtdose_rle",
        "rtdose_rle_1frame",
        "rtplan",
        "rtplan_truncated",
        "rtstruct",
        "test-SR",
        "waveform_ecg",
    }
)
"""Files without pixels, cut short, of masks and doses, in palette colours, or spoilt on purpose."""
PYDICOM_FILES = sorted(TEST_FILES.glob("*.dcm"))


@pytest.mark.parametrize("path", PYDICOM_FILES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # some of these files are odd on purpose
def test_pydicoms_own_files_are_read_or_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIN_SIDE_PIXELS", 1)  # some are thumbnails
    data = path.read_bytes()

    if path.stem in REFUSED:
        with pytest.raises(UploadError):
            decoded(data)
        return

    scan = decoded(data)
    last = decoded(data, scan.frames - 1)

    header = pydicom.dcmread(io.BytesIO(data))
    assert scan.grey.shape == last.grey.shape == (header.Rows, header.Columns)
    assert scan.grey.max() > scan.grey.min()
