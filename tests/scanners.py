"""DICOM files as the scanners of several makers write them, and in every compression.

All of them show ``make_grey()`` in the lung window (or, radiographs, in their own), so that a test
can tell whether their values were understood. Every header names a made-up patient.
"""

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from tests.dicom_files import make_dicom, save_dicom
from tests.factories import make_grey

SYNTAXES = {
    "JPEG baseline": "1.2.840.10008.1.2.4.50",
    "JPEG extended": "1.2.840.10008.1.2.4.51",
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless SV1": "1.2.840.10008.1.2.4.70",
    "JPEG-LS lossless": "1.2.840.10008.1.2.4.80",
    "JPEG-LS near-lossless": "1.2.840.10008.1.2.4.81",
    "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
    "HTJ2K lossless": "1.2.840.10008.1.2.4.201",
}
LOSSLESS = [name for name in SYNTAXES if "lossless" in name and "near" not in name]


def hounsfield(shift: int = 0) -> NDArray[np.int16]:
    """Return ``make_grey()`` as Hounsfield units of the lung window, plus a shift."""
    return np.round(make_grey() * 1500 - 1350 + shift).astype(np.int16)


# --- compression ------------------------------------------------------------------------------


def encoded(stored: NDArray[Any], name: str) -> bytes:
    """Compress stored values ``[H, W]`` of 8 or 16 bits as a transfer syntax of ``SYNTAXES``."""
    unsigned = stored.view(f"u{stored.itemsize}")
    if name.startswith("HTJ2K"):
        return bytes(imagecodecs.htj2k_encode(stored))
    if name.startswith("JPEG 2000"):
        is_lossless = "lossless" in name
        options = {"reversible": True} if is_lossless else {"level": 60, "reversible": False}
        return bytes(imagecodecs.jpeg2k_encode(stored, codecformat="j2k", **options))
    if name.startswith("JPEG-LS"):
        return bytes(imagecodecs.jpegls_encode(unsigned, level=0 if name in LOSSLESS else 2))
    if "lossless" in name:
        return bytes(imagecodecs.jpeg8_encode(unsigned, lossless=True))
    if stored.itemsize == 2:
        return bytes(imagecodecs.jpeg8_encode(unsigned, level=98, bitspersample=12))
    buffer = io.BytesIO()
    Image.fromarray(unsigned).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def compressed(stored: NDArray[Any], name: str, **attributes: Any) -> bytes:
    """Return a DICOM file of stored values, compressed as a transfer syntax of ``SYNTAXES``."""
    dataset = make_dicom(stored, **({"Modality": "DX"} | attributes))
    return save_dicom(dataset, SYNTAXES[name], frame=encoded(stored, name))


# --- scanners ---------------------------------------------------------------------------------


def ge_ct() -> bytes:
    """Signed HU of 16 bits; outside the circle of reconstruction stands a value for padding."""
    stored = hounsfield(1024)
    stored[:4] = -2000
    dataset = make_dicom(
        stored,
        Manufacturer="GE MEDICAL SYSTEMS",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        RescaleType="HU",
        WindowCenter=[40, -600],
        WindowWidth=[400, 1500],
    )
    dataset.add_new("PixelPaddingValue", "US", 63536)  # -2000, written without its sign
    return save_dicom(dataset)


def siemens_ct() -> bytes:
    """Unsigned values of 12 bits in 16, whose upper four bits hold rubbish."""
    stored = hounsfield(2000).astype(np.uint16) | np.uint16(0xA000)
    return save_dicom(
        make_dicom(
            stored,
            Manufacturer="SIEMENS",
            BitsStored=12,
            HighBit=11,
            RescaleSlope=1,
            RescaleIntercept=-2000,
        )
    )


def siemens_padded_ct() -> bytes:
    """Unsigned values of 16 bits, padded with the largest, which would be white bone."""
    stored = hounsfield(8192).astype(np.uint16)
    stored[:4] = 65535
    return save_dicom(
        make_dicom(stored, RescaleSlope=1, RescaleIntercept=-8192, PixelPaddingValue=65535),
        "implicit",
    )


def philips_ct() -> bytes:
    """Signed values of 12 bits in 16 without sign extension; no window; a range of padding."""
    stored = (hounsfield(0) >> 1).astype(np.int16)
    stored[:4] = -2048
    return save_dicom(
        make_dicom(
            (stored.view(np.uint16) & np.uint16(0x0FFF)).view(np.int16),
            Manufacturer="Philips",
            BitsStored=12,
            HighBit=11,
            RescaleSlope=2,
            RescaleIntercept=0,
            PixelPaddingValue=-2048,
            PixelPaddingRangeLimit=-2000,
        )
    )


def canon_ct() -> bytes:
    """A slope of a quarter, deflated."""
    stored = (hounsfield(2048).astype(np.uint16)) * np.uint16(4)
    dataset = make_dicom(stored, RescaleSlope="0.25", RescaleIntercept="-2048")
    return save_dicom(dataset, "deflated")


def enhanced_ct(frames: int = 3) -> bytes:
    """A multi-frame object: each frame has its own intercept and place, the window is shared."""
    stored = np.stack([hounsfield(2048 + frame) for frame in range(frames)]).astype(np.uint16)
    dataset = make_dicom(stored, SeriesInstanceUID="1.2.3.4", SOPClassUID=ENHANCED_CT)
    shared = Dataset()
    shared.FrameVOILUTSequence = [_item(WindowCenter=40, WindowWidth=400)]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    dataset.SharedFunctionalGroupsSequence = [shared]
    each = []
    for frame in range(frames):
        groups = Dataset()
        groups.PixelValueTransformationSequence = [
            _item(RescaleIntercept=-2048 - frame, RescaleSlope=1, RescaleType="HU")
        ]
        groups.PlanePositionSequence = [_item(ImagePositionPatient=[0, 0, 2.5 * frame])]
        each.append(groups)
    dataset.PerFrameFunctionalGroupsSequence = each
    return save_dicom(dataset)


ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def fuji_cr() -> bytes:
    """A radiograph of 10 bits, white on black turned round, with a window."""
    stored = np.round((1 - make_grey()) * 1023).astype(np.uint16)
    return save_dicom(
        make_dicom(
            stored,
            Modality="CR",
            Manufacturer="FUJIFILM Corporation",
            PhotometricInterpretation="MONOCHROME1",
            BitsStored=10,
            HighBit=9,
            WindowCenter=512,
            WindowWidth=1024,
        )
    )


def dx_with_sigmoid() -> bytes:
    """A radiograph of 14 bits that is to be shown through a sigmoid."""
    stored = np.round(make_grey() * 16383).astype(np.uint16)
    return save_dicom(
        make_dicom(
            stored,
            Modality="DX",
            BitsStored=14,
            HighBit=13,
            WindowCenter=8192,
            WindowWidth=8192,
            VOILUTFunction="SIGMOID",
        )
    )


SCANNERS: dict[str, Callable[[], bytes]] = {
    "GE CT": ge_ct,
    "Siemens CT": siemens_ct,
    "Siemens CT, padded": siemens_padded_ct,
    "Philips CT": philips_ct,
    "Canon CT": canon_ct,
    "Enhanced CT": enhanced_ct,
    "Fuji CR": fuji_cr,
    "DX": dx_with_sigmoid,
}
