"""Where an image stands in its series, without telling whose series it is."""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pydicom.dataset import Dataset

MAX_INSTANCE = 2**31 - 1  # as in DICOM's integer strings


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPosition:
    """The place of an image among those that were taken together.

    Attributes:
        series: Tells one series from another: a keyed hash (HMAC-SHA-256, hex) of its UID, from
            which the UID cannot be found again.
        slice_mm: Place along the direction in which the slices are stacked, in mm; None where the
            file does not say.
        instance: The number that the scanner gave the image; None where it gave none.
    """

    series: str
    slice_mm: float | None = None
    instance: int | None = None


def series_position(attributes: Dataset, key: bytes) -> SeriesPosition | None:
    """Return the place of a frame in its series; None where the file names no series.

    Args:
        attributes: Of this frame, as ``dicom_header.attributes_of_frame`` gives them.
        key: Secret of the installation; the same key gives the same series the same hash.
    """
    uid = str(attributes.get("SeriesInstanceUID") or "").strip()
    if not uid:
        return None
    return SeriesPosition(
        series=hmac.new(key, uid.encode(), sha256).hexdigest(),
        slice_mm=_slice_mm(attributes),
        instance=_instance(attributes.get("InstanceNumber")),
    )


def _slice_mm(attributes: Dataset) -> float | None:
    position = _numbers(attributes.get("ImagePositionPatient"), 3)
    axes = _numbers(attributes.get("ImageOrientationPatient"), 6)
    if position is not None and axes is not None:
        return _finite(_along_normal(position, axes))
    location = _numbers([attributes.get("SliceLocation")], 1)
    return None if location is None else _finite(location[0])


def _along_normal(position: Sequence[float], axes: Sequence[float]) -> float:
    """Return how far a position lies along the normal of the plane that two axes span."""
    ax, ay, az, bx, by, bz = axes
    x, y, z = position
    return x * (ay * bz - az * by) + y * (az * bx - ax * bz) + z * (ax * by - ay * bx)


def _numbers(values: object, count: int) -> list[float] | None:
    """Return ``count`` numbers; None where there are more, fewer or none."""
    if not isinstance(values, Sequence) or len(values) != count:
        return None
    try:
        return [float(str(value)) for value in values]
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _instance(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if abs(number) <= MAX_INSTANCE else None
