"""From the bytes of a DICOM file to grey values. Headers are read for decoding and dropped."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from app.detection.dicom_frames import check_pixels, count_frames, stored_values
from app.detection.dicom_header import attributes_of_frame, read_header
from app.detection.limits import DecodingLimits
from app.detection.series import SeriesPosition, series_position
from app.detection.spec import Window
from app.errors import DamagedImageError, UploadError

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the grey value (ITU-R BT.601)."""

SMALLEST_WIDTH = 1e-6
"""Of a window that is a mere step from black to white."""

HOUNSFIELD_TYPES = ("", "HU", "HU_MOD", "US")
"""What Rescale Type says of a CT in HU; US, "unspecified", is what many a converter writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomScan:
    """What one frame of a DICOM file shows, and what the file says of it.

    Attributes:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``; 0 is black.
        frames: How many images the file holds.
        declared_synthetic: Synthetic Data (0008,001C) says YES.
        declared_annotated: Burned In Annotation (0028,0301) says YES.
        series: Where the image stands in its series, if the file says.
        hounsfield: What black and white stand for, in HU; None where they stand for no such thing.
    """

    grey: NDArray[np.float32]
    frames: int
    declared_synthetic: bool
    declared_annotated: bool
    series: SeriesPosition | None
    hounsfield: tuple[float, float] | None


def ends_of_window(window: Window) -> tuple[float, float]:
    """Return the values that a window shows as black and as white."""
    return window.center - window.width / 2, window.center + window.width / 2


def apply_window(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Map values, such as Hounsfield units, to grey in [0, 1], clipping outside the window."""
    low, _ = ends_of_window(window)
    grey: NDArray[np.float32] = np.clip((values - low) / window.width, 0, 1).astype(np.float32)
    return grey


def decode_dicom(
    data: bytes, window: Window | None, limits: DecodingLimits, frame: int, series_key: bytes
) -> DicomScan:
    """Decode one frame of a DICOM file.

    Args:
        data: The whole file.
        window: For slices in Hounsfield units; None where the file's own window is used.
        limits: What the file may cost.
        frame: Which image, from 0.
        series_key: With which the UID of the series is hashed.

    Raises:
        UploadError: It is damaged, too big or too small in pixels, or holds no image, or none of
            that number, that can be judged.
    """
    try:
        dataset = read_header(data, limits)
        check_pixels(dataset, frame, limits)
        attributes = attributes_of_frame(dataset, frame)
        stored = stored_values(dataset, frame)
        is_in_window = stored.ndim == 2 and _is_in_hounsfield_units(attributes)
        ct_window = window if is_in_window else None
        grey = _grey(attributes, stored, ct_window)
        if not np.isfinite(grey).all():
            raise DamagedImageError("DICOM")
        return DicomScan(
            grey=np.ascontiguousarray(grey, dtype=np.float32),
            frames=count_frames(dataset),
            declared_synthetic=_says_yes(dataset, "SyntheticData"),
            declared_annotated=_says_yes(dataset, "BurnedInAnnotation"),
            series=series_position(attributes, series_key),
            hounsfield=None if ct_window is None else ends_of_window(ct_window),
        )
    except (UploadError, MemoryError):
        raise
    except Exception as error:  # a hostile header or frame may make the parsers raise anything
        raise DamagedImageError("DICOM") from error


def _says_yes(dataset: FileDataset, keyword: str) -> bool:
    return str(dataset.get(keyword, "")).strip().upper() == "YES"


def _grey(
    attributes: Dataset, stored: NDArray[np.integer], window: Window | None
) -> NDArray[np.float32]:
    """Return the grey values of a frame in [0, 1]; 0 is black, and so is what is padding.

    Args:
        attributes: What the file says of the frame.
        stored: Its values, ``[H, W]`` or, in RGB, ``[H, W, 3]``.
        window: For values in Hounsfield units; None for the file's own.
    """
    if stored.ndim == 3:
        return _luma(stored, int(attributes.BitsStored))
    values = apply_modality_lut(stored, attributes).astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedImageError("DICOM")
    grey = _shown(attributes, values, window)
    padding = _padding(attributes)
    if padding is not None:
        grey[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return grey


def _shown(
    attributes: Dataset, values: NDArray[np.float32], window: Window | None
) -> NDArray[np.float32]:
    """Return rescaled values as they are to be seen, in [0, 1]."""
    if window is not None:
        # Air is dark in this window, whatever way round the file wants to be shown.
        return apply_window(values, window)
    if own_window := _own_window(attributes):
        grey = _apply_own_window(values, own_window, str(attributes.get("VOILUTFunction") or ""))
    elif attributes.get("VOILUTSequence"):
        lut_bits = int(attributes.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi_lut(values.round().astype(np.int32), attributes)
        grey = looked_up.astype(np.float32) / np.float32(2**lut_bits - 1)
    else:
        low, high = sorted(apply_modality_lut(_stored_range(attributes), attributes).tolist())
        grey = (values - np.float32(low)) / np.float32(high - low)
    grey = np.clip(grey, 0, 1)
    is_inverted = attributes.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.float32(1) - grey if is_inverted else grey


def _luma(stored: NDArray[np.integer], bits: int) -> NDArray[np.float32]:
    """Return the luma of colour samples ``[H, W, 3]`` of ``bits`` bits, channel by channel."""
    grey = np.zeros(stored.shape[:2], dtype=np.float32)
    for channel, share in enumerate(LUMA):
        grey += stored[..., channel].astype(np.float32) * np.float32(share / (2**bits - 1))
    return np.clip(grey, 0, 1, out=grey)


def _is_in_hounsfield_units(attributes: Dataset) -> bool:
    """Return whether the rescaled values are HU: a CT that says how to rescale.

    A CT exported as a screen capture has no rescale; its values are grey already. Some values that
    a spectral CT computes, such as effective atomic numbers, are none either and say so.
    """
    rescale_type = str(attributes.get("RescaleType") or "").strip().upper()
    return (
        attributes.get("Modality") == "CT"
        and attributes.get("RescaleIntercept") is not None
        and rescale_type in HOUNSFIELD_TYPES
    )


def _apply_own_window(
    values: NDArray[np.float32], window: Window, function: str
) -> NDArray[np.float32]:
    """Map values to grey in [0, 1] as DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 say."""
    if function == "SIGMOID":
        with np.errstate(over="ignore"):  # far below the window the result is 0 all the same
            exponent = (values - np.float32(window.center)) * np.float32(-4 / window.width)
            shown: NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(exponent))
        return shown
    if function == "LINEAR_EXACT":
        return apply_window(values, window)
    # LINEAR: a window of 256 around 128 shows all values from 0 to 255.
    steps = max(window.width - 1, SMALLEST_WIDTH)
    return apply_window(values, Window(window.center - 0.5, steps))


def _own_window(attributes: Dataset) -> Window | None:
    """Return the first window that the file itself proposes, if it proposes a usable one."""
    center = _first_number(attributes.get("WindowCenter"))
    width = _first_number(attributes.get("WindowWidth"))
    least = 1 if attributes.get("VOILUTFunction") in (None, "", "LINEAR") else 0
    if center is None or width is None or not math.isfinite(center):
        return None
    return Window(center, width) if least <= width < math.inf and width > 0 else None


def _first_number(value: object) -> float | None:
    """Return the first value of an element; None where it is absent or empty."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value is None or value == "" else float(str(value))


def _padding(attributes: Dataset) -> tuple[int, int] | None:
    """Return the least and the greatest stored value that stands for "no image here"."""
    value = attributes.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = attributes.get("PixelPaddingRangeLimit")
    ends = [_as_stored(attributes, end) for end in (value, limit) if isinstance(end, int)]
    return min(ends), max(ends)


def _as_stored(attributes: Dataset, value: int) -> int:
    """Return a value read with or without a sign, as scanners mix them up, as pixels are read."""
    modulus = 1 << int(attributes.BitsAllocated)
    value %= modulus
    is_signed = int(attributes.PixelRepresentation) == 1
    return value - modulus if is_signed and value >= modulus // 2 else value


def _stored_range(attributes: Dataset) -> NDArray[np.int64]:
    """Return the least and the greatest value that the file's bit depth can store."""
    bits = int(attributes.BitsStored)
    if int(attributes.PixelRepresentation) == 1:
        return np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1])
    return np.array([0, 2**bits - 1])
