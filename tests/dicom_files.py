"""Builds DICOM files attribute by attribute, each with a made-up patient in its header."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

PATIENT = {
    "PatientName": "Sentinel^Patience",
    "PatientID": "SENTINEL-4711",
    "PatientBirthDate": "19500102",
    "InstitutionName": "Sentinel Hospital",
    "ReferringPhysicianName": "Sentinel^Doctor",
}
"""What a DICOM header says of a person; none of it may turn up anywhere in Veriscan."""

TRANSFER_SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg": JPEGBaseline8Bit,
    "jpeg2000": JPEG2000Lossless,
}


def make_dicom(stored: NDArray[Any], **attributes: Any) -> Dataset:
    """Build a CT image with patient fields around stored values.

    Args:
        stored: Integers, shape ``[H, W]``, ``[frames, H, W]`` or, for colour, ``[H, W, 3]``.
        **attributes: DICOM keywords that replace or, where None, remove those set here.
    """
    dataset = Dataset()
    is_colour = attributes.get("SamplesPerPixel") == 3
    bits = stored.dtype.itemsize * 8
    defaults: dict[str, Any] = PATIENT | {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=[str(stored.shape)]),
        "Modality": "CT",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "RGB" if is_colour else "MONOCHROME2",
        "Rows": stored.shape[-3] if is_colour else stored.shape[-2],
        "Columns": stored.shape[-2] if is_colour else stored.shape[-1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    if is_colour:
        defaults["PlanarConfiguration"] = 0
    elif stored.ndim == 3:
        defaults["NumberOfFrames"] = stored.shape[0]
    for keyword, value in (defaults | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" not in attributes:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def save_dicom(
    dataset: Dataset,
    transfer_syntax: str = "explicit",
    *,
    frame: bytes | None = None,
    frames: Sequence[bytes] = (),
) -> bytes:
    """Encode a data set as a DICOM Part 10 file.

    Args:
        dataset: As ``make_dicom`` builds it.
        transfer_syntax: One of ``TRANSFER_SYNTAXES`` or, with a ``frame``, any UID.
        frame: A compressed image that takes the place of the pixels.
        frames: Several of them.
    """
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if transfer_syntax == "rle":
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif frames or frame is not None or transfer_syntax in ("jpeg", "jpeg2000"):
        dataset.PixelData = encapsulate(
            [*frames] or [frame or _compressed(dataset, transfer_syntax)]
        )
        dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = TRANSFER_SYNTAXES.get(
        transfer_syntax, UID(transfer_syntax)
    )
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _compressed(dataset: Dataset, transfer_syntax: str) -> bytes:
    kind = np.uint8 if dataset.BitsAllocated == 8 else np.uint16
    stored = np.frombuffer(dataset.PixelData, kind).reshape(dataset.Rows, dataset.Columns)
    buffer = io.BytesIO()
    if transfer_syntax == "jpeg":
        Image.fromarray(stored).save(buffer, "JPEG", quality=95)
    else:
        Image.fromarray(stored).save(buffer, "JPEG2000", no_jp2=True, irreversible=False)
    return buffer.getvalue()
