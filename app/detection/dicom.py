"""From the bytes of a DICOM file to grey values. Headers are read for decoding and dropped."""

import io
import math

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from app.detection.codestreams import check_jpeg, check_jpeg2000, check_rle
from app.detection.limits import DecodingLimits
from app.detection.spec import Window
from app.errors import (
    DamagedImageError,
    MultiFrameError,
    UnsupportedDicomError,
    UploadError,
)

DICOM_PREAMBLE_BYTES = 128
DICOM_PREFIX = b"DICM"
FILE_META_GROUP = 0x0002
SELF_SIZED_SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEG2000Lossless)
"""Transfer syntaxes whose frames declare a size of their own, beside that of the header."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the grey value (ITU-R BT.601)."""

# By default pydicom warns of a malformed header field with its value, which may name a person.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes carry the DICOM Part 10 prefix."""
    return data.startswith(DICOM_PREFIX, DICOM_PREAMBLE_BYTES)


def apply_window(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Map values, such as Hounsfield units, to grey in [0, 1], clipping outside the window."""
    low = window.center - window.width / 2
    grey: NDArray[np.float32] = np.clip((values - low) / window.width, 0, 1).astype(np.float32)
    return grey


def decode_dicom(
    data: bytes, window: Window | None, limits: DecodingLimits
) -> tuple[NDArray[np.float32], bool]:
    """Decode a DICOM file.

    Args:
        data: The whole file.
        window: For slices in Hounsfield units; None where the file's own window is used.
        limits: What the file may cost.

    Returns:
        Grey values, float32 in [0, 1], shape ``[H, W]``, 0 is black; and whether the attribute
        Synthetic Data (0008,001C) says YES.

    Raises:
        UploadError: It is damaged, too big or too small in pixels, holds several images or no
            image that can be judged.
    """
    try:
        dataset = _read(data)
        _check_image(dataset, limits)
        stored = _stored_pixels(dataset)
        grey = _grey(dataset, stored, window)
        is_synthetic = str(dataset.get("SyntheticData", "")).strip().upper() == "YES"
    except UploadError:
        raise
    except Exception as error:  # a hostile header or frame may make the parsers raise anything
        raise DamagedImageError("DICOM") from error
    if not np.isfinite(grey).all():
        raise DamagedImageError("DICOM")
    return np.ascontiguousarray(grey, dtype=np.float32), is_synthetic


def _read(data: bytes) -> pydicom.Dataset:
    file = io.BytesIO(data)
    file.seek(DICOM_PREAMBLE_BYTES + len(DICOM_PREFIX))
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != FILE_META_GROUP,
    )
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        # Inflating has no bound of its own; a small file could fill the memory.
        raise UnsupportedDicomError("it is deflated; export it uncompressed")
    return pydicom.dcmread(io.BytesIO(data))


def _check_image(dataset: pydicom.Dataset, limits: DecodingLimits) -> None:
    """Check what the header declares, before any pixel is decoded."""
    if "PixelData" not in dataset:
        raise UnsupportedDicomError("it holds no image")
    limits.check_size(int(dataset.Columns), int(dataset.Rows))
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise MultiFrameError(frames)
    if int(dataset.SamplesPerPixel) not in (1, 3):
        raise UnsupportedDicomError("it is neither greyscale nor colour")
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise UnsupportedDicomError("its colours come from a palette; export it as greyscale")
    if dataset.file_meta.TransferSyntaxUID in (RLELossless, *SELF_SIZED_SYNTAXES):
        _check_frame(dataset, limits)


def _check_frame(dataset: pydicom.Dataset, limits: DecodingLimits) -> None:
    """Check what a compressed frame costs: the decoder goes by that, whatever the header says."""
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        check_rle(frame, int(dataset.Rows) * int(dataset.Columns))
        return
    check_jpeg(frame, "DICOM")
    check_jpeg2000(frame)
    with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
        limits.check_size(image.width, image.height)


def _stored_pixels(dataset: pydicom.Dataset) -> NDArray[np.generic]:
    """Return the stored values, shape ``[H, W]`` or, in RGB, ``[H, W, 3]``."""
    try:
        stored: NDArray[np.generic] = dataset.pixel_array
    except (NotImplementedError, RuntimeError) as error:
        raise UnsupportedDicomError(
            "its compression is not supported or its image is damaged; export it uncompressed"
        ) from error
    return stored


def _grey(
    dataset: pydicom.Dataset, stored: NDArray[np.generic], window: Window | None
) -> NDArray[np.float32]:
    """Return grey values in [0, 1] of a single-frame image, 0 is black."""
    if stored.ndim == 3:
        return _luma(stored, int(dataset.BitsStored))
    values = apply_modality_lut(stored, dataset).astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedImageError("DICOM")
    if window is not None and _is_in_hounsfield_units(dataset):
        # Air is dark in this window, whatever way round the file wants to be shown.
        return apply_window(values, window)
    if own_window := _own_window(dataset):
        grey = apply_window(values, own_window)
    elif "VOILUTSequence" in dataset:
        lut_bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi_lut(values.round().astype(np.int32), dataset)
        grey = looked_up.astype(np.float32) / np.float32(2**lut_bits - 1)
    else:
        low, high = sorted(apply_modality_lut(_stored_range(dataset), dataset).tolist())
        grey = (values - np.float32(low)) / np.float32(high - low)
    grey = np.clip(grey, 0, 1)
    is_inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.float32(1) - grey if is_inverted else grey


def _luma(stored: NDArray[np.generic], bits: int) -> NDArray[np.float32]:
    """Return the luma of colour samples ``[H, W, 3]`` of ``bits`` bits, channel by channel."""
    grey = np.zeros(stored.shape[:2], dtype=np.float32)
    for channel, share in enumerate(LUMA):
        grey += stored[..., channel].astype(np.float32) * np.float32(share / (2**bits - 1))
    return np.clip(grey, 0, 1, out=grey)


def _is_in_hounsfield_units(dataset: pydicom.Dataset) -> bool:
    """Return whether the rescaled values are HU: a CT that says how to rescale.

    A CT exported as a screen capture has no rescale; its values are grey already.
    """
    return dataset.get("Modality") == "CT" and dataset.get("RescaleIntercept") is not None


def _own_window(dataset: pydicom.Dataset) -> Window | None:
    """Return the first window that the file itself proposes, if it proposes a usable one."""
    center = _first_number(dataset.get("WindowCenter"))
    width = _first_number(dataset.get("WindowWidth"))
    if center is None or width is None or not (math.isfinite(center) and 1 <= width < math.inf):
        return None
    return Window(center, width)


def _first_number(value: object) -> float | None:
    """Return the first value of an element; None where it is absent or empty."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value is None or value == "" else float(str(value))


def _stored_range(dataset: pydicom.Dataset) -> NDArray[np.int64]:
    """Return the least and the greatest value that the file's bit depth can store."""
    bits = int(dataset.BitsStored)
    if int(dataset.PixelRepresentation) == 1:
        return np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1])
    return np.array([0, 2**bits - 1])
