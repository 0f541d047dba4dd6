import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from app.detection.decoding import DecodedScan, decode
from app.detection.dicom import apply_window
from app.detection.dicom_header import is_dicom
from app.detection.spec import ModalitySpec, Window, modality
from app.errors import (
    DamagedImageError,
    TooFewPixelsError,
    TooManyPixelsError,
    UnsupportedDicomError,
    UploadError,
)
from tests.app.detection.hostile import check_spoilt_copies
from tests.dicom_files import PATIENT, make_dicom, save_dicom
from tests.factories import (
    dicom_bytes,
    grey8,
    grey16,
    jpeg_bytes,
    make_grey,
    picture_bytes,
    truncated,
)

LUNG_CT = modality("lung_ct")
KNEE_XRAY = modality("knee_xray")
HALF_UNIT = 0.5 / 1500 + 1e-6


def decoded(data: bytes, spec: ModalitySpec = LUNG_CT) -> DecodedScan:
    return decode(data, spec)


def radiograph(stored: NDArray[Any], **attributes: Any) -> bytes:
    return save_dicom(make_dicom(stored, **({"Modality": "DX"} | attributes)))


def lookup_table(values: NDArray[np.uint16], first: int, keyword: str = "LUTData") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, 16])
    item.add_new(keyword, "OW", values.tobytes())
    return item


# --- Hounsfield units -----------------------------------------------------------------------


@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit", "rle"])
def test_a_ct_slice_is_shown_in_the_window_of_its_modality(transfer_syntax: str) -> None:
    scan = decoded(dicom_bytes(transfer_syntax=transfer_syntax))

    assert scan.image_format == "DICOM"
    assert scan.grey.dtype == np.float32
    assert np.abs(scan.grey - make_grey()).max() <= HALF_UNIT


def test_a_jpeg_2000_slice_is_read() -> None:
    data = dicom_bytes(transfer_syntax="jpeg2000", BitsStored=16, HighBit=15)

    assert np.abs(decoded(data).grey - make_grey()).max() <= HALF_UNIT


def test_a_jpeg_radiograph_is_read() -> None:
    data = save_dicom(make_dicom(grey8(), Modality="DX"), "jpeg")

    assert np.abs(decoded(data, KNEE_XRAY).grey - make_grey()).mean() < 0.02


def test_the_window_of_the_modality_wins_over_that_of_the_file() -> None:
    data = dicom_bytes(WindowCenter=40, WindowWidth=400)

    assert np.array_equal(decoded(data).grey, decoded(dicom_bytes()).grey)


def test_hounsfield_units_outside_the_window_are_clipped() -> None:
    stored = np.full((80, 96), -3000, np.int16)
    stored[:, 48:] = 3000

    grey = decoded(save_dicom(make_dicom(stored, RescaleSlope=1, RescaleIntercept=0))).grey

    assert set(np.unique(grey)) == {0.0, 1.0}


def test_signed_values_are_read_as_signed() -> None:
    stored = np.round(make_grey() * 1500 - 1350).astype(np.int16)

    data = save_dicom(make_dicom(stored, RescaleSlope=1, RescaleIntercept=0))

    assert np.abs(decoded(data).grey - make_grey()).max() <= HALF_UNIT


def test_the_rescale_slope_is_applied() -> None:
    stored = np.round((make_grey() * 1500 - 1350 + 2048) * 4).astype(np.uint16)

    data = save_dicom(make_dicom(stored, RescaleSlope=0.25, RescaleIntercept=-2048))

    assert np.abs(decoded(data).grey - make_grey()).max() <= HALF_UNIT


def test_air_stays_dark_in_a_ct_that_asks_to_be_shown_inverted() -> None:
    data = dicom_bytes(PhotometricInterpretation="MONOCHROME1")

    assert np.array_equal(decoded(data).grey, decoded(dicom_bytes()).grey)


def test_a_ct_without_rescale_is_grey_already() -> None:
    data = save_dicom(make_dicom(grey8()))

    assert np.abs(decoded(data).grey - make_grey()).max() <= 0.5 / 255 + 1e-6


def test_a_window_maps_its_lower_end_to_black_and_its_upper_end_to_white() -> None:
    values = np.array([-1351, -1350, -600, 150, 151], np.float32)

    grey = apply_window(values, Window(center=-600, width=1500))

    assert grey.tolist() == [0, 0, 0.5, 1, 1]


# --- radiographs ----------------------------------------------------------------------------


def test_a_radiograph_without_a_window_is_scaled_by_its_bit_depth() -> None:
    stored = np.round(make_grey() * 4095).astype(np.uint16)

    data = radiograph(stored, BitsStored=12, HighBit=11)

    assert np.abs(decoded(data, KNEE_XRAY).grey - make_grey()).max() <= 0.5 / 4095 + 1e-6


def test_a_signed_radiograph_is_scaled_from_its_least_value() -> None:
    stored = np.round(make_grey() * 255 - 128).astype(np.int8)

    assert np.abs(decoded(radiograph(stored), KNEE_XRAY).grey - make_grey()).max() <= 0.002


def test_a_negative_slope_turns_black_and_white_round() -> None:
    data = radiograph(grey8(), RescaleSlope=-1, RescaleIntercept=255)

    assert np.abs(decoded(data, KNEE_XRAY).grey - (1 - make_grey())).max() <= 0.002


def test_monochrome1_is_turned_the_right_way_round() -> None:
    data = radiograph(255 - grey8(), PhotometricInterpretation="MONOCHROME1")

    assert np.abs(decoded(data, KNEE_XRAY).grey - make_grey()).max() <= 0.002


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 1000, "WindowWidth": 500},
        {"WindowCenter": [1000, 7], "WindowWidth": [500, 9]},
    ],
)
def test_the_first_window_of_a_radiograph_is_used(window: dict[str, Any]) -> None:
    stored = np.round(make_grey() * 500 + 750).astype(np.uint16)

    grey = decoded(radiograph(stored, **window), KNEE_XRAY).grey

    # From 750 to 1249, as DICOM defines a linear window of 500 around 1000.
    assert np.abs(grey - np.clip((stored - 750) / 499, 0, 1)).max() <= 1e-6


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 1000},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": 1000, "WindowWidth": 0},
        {"WindowCenter": "nan", "WindowWidth": 500},
        {"WindowCenter": 1000, "WindowWidth": "inf"},
        {"WindowCenter": [], "WindowWidth": []},
    ],
)
def test_an_unusable_window_is_passed_over(window: dict[str, Any]) -> None:
    data = radiograph(grey16(), **window)

    assert np.abs(decoded(data, KNEE_XRAY).grey - make_grey()).max() <= 1e-4


def test_a_voi_lookup_table_is_applied() -> None:
    darker = (np.linspace(0, 1, 256) ** 2 * 65535).astype(np.uint16)

    grey = decoded(radiograph(grey8(), VOILUTSequence=[lookup_table(darker, 0)]), KNEE_XRAY).grey

    assert np.abs(grey - np.float32(grey8() / 255) ** 2).max() <= 1e-4


def test_a_voi_lookup_table_may_begin_below_zero() -> None:
    stored = np.round(make_grey() * 255 - 128).astype(np.int16)
    straight = np.linspace(0, 65535, 256).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [256, -128, 16])
    item.add_new("LUTData", "OW", straight.tobytes())

    grey = decoded(radiograph(stored, VOILUTSequence=[item]), KNEE_XRAY).grey

    assert np.abs(grey - make_grey()).max() <= 0.002


def test_a_modality_lookup_table_is_applied() -> None:
    inverse = np.linspace(65535, 0, 256).astype(np.uint16)
    item = lookup_table(inverse, 0)
    item.ModalityLUTType = "US"

    grey = decoded(radiograph(grey8(), ModalityLUTSequence=[item]), KNEE_XRAY).grey

    assert np.abs(grey - (1 - make_grey())).max() <= 0.002


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_a_colour_capture_gives_its_luma(photometric: str) -> None:
    colour = Image.fromarray(grey8()).convert("RGB")
    stored = np.asarray(colour.convert("YCbCr") if photometric == "YBR_FULL" else colour)

    data = radiograph(stored, SamplesPerPixel=3, PhotometricInterpretation=photometric)

    assert np.abs(decoded(data, KNEE_XRAY).grey - make_grey()).max() < 2 / 255


def test_a_capture_that_is_white_all_over_is_at_most_one() -> None:
    stored = np.full((80, 96, 3), 255, np.uint8)

    assert decoded(radiograph(stored, SamplesPerPixel=3), KNEE_XRAY).grey.max() == 1


# --- what is said of the file ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"), [("YES", True), ("NO", False), ("yes ", True), (None, False)]
)
def test_a_file_that_declares_itself_synthetic_is_known_to(
    value: str | None, expected: bool
) -> None:
    assert decoded(dicom_bytes(SyntheticData=value)).declared_synthetic is expected


def test_a_preamble_that_looks_like_a_picture_is_still_dicom() -> None:
    data = b"II*\x00" + dicom_bytes()[4:]

    assert is_dicom(data)
    assert decoded(data).image_format == "DICOM"


def test_no_patient_field_is_in_the_result_an_error_or_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan = decoded(dicom_bytes(PatientBirthDate="Sentinel"))
        with pytest.raises(UploadError) as raised:
            decoded(truncated(dicom_bytes(), 0.9))

    said = [repr(scan), str(raised.value), *(str(warning.message) for warning in caught)]
    for value in (*PATIENT.values(), "Sentinel"):
        assert not any(value in text for text in said)


# --- refused --------------------------------------------------------------------------------


def without_pixels() -> bytes:
    dataset = make_dicom(grey16())
    del dataset.PixelData
    return save_dicom(dataset)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (without_pixels, UnsupportedDicomError, "no image"),
        (lambda: dicom_bytes(make_grey(200, 63)), TooFewPixelsError, "200 × 63"),
        (
            lambda: radiograph(grey8(), PhotometricInterpretation="PALETTE COLOR"),
            UnsupportedDicomError,
            "palette",
        ),
        (lambda: dicom_bytes(SamplesPerPixel=2), UnsupportedDicomError, "neither"),
        (lambda: dicom_bytes(Rows=30_000, Columns=30_000), TooManyPixelsError, "30000 × 30000"),
        (lambda: dicom_bytes(Rows=None), DamagedImageError, "damaged"),
        (lambda: dicom_bytes(Rows=81), DamagedImageError, "damaged"),
        (lambda: dicom_bytes(BitsAllocated=7), UploadError, "DICOM"),
        (lambda: dicom_bytes(RescaleSlope="1e400"), DamagedImageError, "damaged"),
        (
            lambda: radiograph(grey8(), RescaleSlope=0, RescaleIntercept=0),
            DamagedImageError,
            "damaged",
        ),
    ],
)
def test_a_dicom_file_that_cannot_be_judged_is_refused_with_the_reason(
    make: Callable[[], bytes], error: type[UploadError], says: str
) -> None:
    with pytest.raises(error, match=says):
        decoded(make())


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.100",  # MPEG-2
        "1.2.840.10008.1.2.4.102",  # H.264
    ],
)
def test_a_compression_that_cannot_be_read_is_named_as_the_reason(syntax: str) -> None:
    data = save_dicom(make_dicom(grey8(), Modality="DX"), syntax, frame=jpeg_bytes())

    with pytest.raises(UnsupportedDicomError, match="compression"):
        decoded(data, KNEE_XRAY)


def test_a_small_dicom_around_an_enormous_jpeg_is_refused_without_decoding_it() -> None:
    enormous = picture_bytes(Image.new("L", (9_000, 9_000)), "JPEG")
    data = save_dicom(make_dicom(grey8(), Modality="DX"), "jpeg", frame=enormous)
    tracemalloc.start()
    started_s = time.perf_counter()

    with pytest.raises(TooManyPixelsError, match="9000 × 9000"):
        decoded(data, KNEE_XRAY)

    elapsed_s = time.perf_counter() - started_s
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert elapsed_s < 1
    assert peak_bytes < 10 * 2**20


@pytest.mark.parametrize("share", [0.0385, 0.04, 0.05, 0.1, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit", "rle", "jpeg2000"])
def test_a_file_cut_short_is_refused_wherever_it_was_cut(
    share: float, transfer_syntax: str
) -> None:
    data = dicom_bytes(transfer_syntax=transfer_syntax)

    with pytest.raises(UploadError):
        decoded(truncated(data, share))


@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit", "rle", "jpeg2000"])
@pytest.mark.filterwarnings("ignore")
def test_flipped_bytes_never_cause_anything_but_an_upload_error(transfer_syntax: str) -> None:
    data = dicom_bytes(transfer_syntax=transfer_syntax)

    check_spoilt_copies(data, copies=80, first=132, last=1200)
