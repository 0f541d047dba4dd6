"""Reads of a DICOM file only what decoding needs, and no more of it than a real image has.

Whom a scan shows is skipped over: names, numbers and dates of people never become objects here.
"""

import io
import struct
import zlib
from collections.abc import Callable

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from app.detection.limits import DecodingLimits
from app.errors import DamagedImageError, FileTooLargeError

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
FILE_META_GROUP = 0x0002
FIRST_GROUPS = (FILE_META_GROUP, 0x0008)
LAST_FIRST_ELEMENT = 0x0018
"""A data set that was saved without the preamble of a file begins with one of the first elements
of a group, which say of what kind it is."""
MAX_ELEMENTS = 50_000
"""Elements at the top of a file, of which real ones have some hundred."""
MAX_FRAMES = 10_000

ABOUT_THE_IMAGE = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "Modality",
)
"""How the pixels are stored."""
ABOUT_THE_FRAME = (
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "SeriesInstanceUID",
    "InstanceNumber",
)
"""What the stored values mean and where the slice lies; may differ from frame to frame."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MACROS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
)
"""Where an enhanced multi-frame object keeps what is said of a frame."""
ABOUT_THE_FILE = (
    "SyntheticData",
    "BurnedInAnnotation",
    "NumberOfFrames",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)
_UNSAID_SYNTAXES = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
"""Transfer syntaxes by "implicit VR" and "little endian", where a file does not name its own."""
_WANTED: list[BaseTag | int] = [
    tag
    for keyword in (*ABOUT_THE_IMAGE, *ABOUT_THE_FRAME, *GROUPS, *ABOUT_THE_FILE)
    if (tag := tag_for_keyword(keyword)) is not None
]

# By default pydicom warns of a malformed header field with its value, which may name a person.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes carry the DICOM Part 10 prefix, or begin as the data set within.

    Some archives and older scanners leave out the preamble and even the file meta information.
    """
    if data.startswith(PREFIX, PREAMBLE_BYTES):
        return True
    if len(data) <= PREAMBLE_BYTES:
        return False
    group, element = struct.unpack_from("<HH", data)
    return group in FIRST_GROUPS and element <= LAST_FIRST_ELEMENT


def read_header(data: bytes, limits: DecodingLimits) -> FileDataset:
    """Read what decoding needs of a DICOM Part 10 file, its pixels included.

    Raises:
        DamagedImageError: It holds more elements than a real image.
        FileTooLargeError: It is deflated and inflates to more bytes than a file may have.
    """
    file = io.BytesIO(data)
    if data.startswith(PREFIX, PREAMBLE_BYTES):
        file.seek(PREAMBLE_BYTES + len(PREFIX))
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=_counting(lambda tag: tag.group != FILE_META_GROUP),
    )
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return _read_deflated(data[file.tell() :], meta, limits.max_bytes)
    dataset = read_partial(
        io.BytesIO(data),
        stop_when=_counting(lambda _tag: False),
        force=True,
        specific_tags=_WANTED,
    )
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, is_little_endian = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = _UNSAID_SYNTAXES[
            bool(is_implicit), bool(is_little_endian)
        ]
    return dataset


def _read_deflated(deflated: bytes, meta: Dataset, max_bytes: int) -> FileDataset:
    dataset = read_dataset(
        io.BytesIO(_inflated(deflated, max_bytes)),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=_counting(lambda _tag: False),
        specific_tags=_WANTED,
    )
    return FileDataset(io.BytesIO(), dataset, file_meta=FileMetaDataset(meta))


def _counting(is_end: Callable[[BaseTag], bool]) -> Callable[[BaseTag, str | None, int], bool]:
    """Return what ends the reading; it refuses to go on after too many elements."""
    count = 0

    def stop_when(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal count
        count += 1
        if count > MAX_ELEMENTS:
            raise DamagedImageError("DICOM")
        return is_end(tag)

    return stop_when


def _inflated(deflated: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, max_bytes + 1)
    if len(inflated) > max_bytes:
        raise FileTooLargeError(max_bytes)
    if not inflater.eof:
        raise DamagedImageError("DICOM")
    return inflated


def attributes_of_frame(dataset: FileDataset, frame: int) -> Dataset:
    """Return what a file says of one of its frames: in its groups, otherwise at its top.

    Args:
        dataset: As ``read_header`` gives it.
        frame: From 0; one that the file has.
    """
    attributes = Dataset()
    attributes.file_meta = dataset.file_meta
    for keyword in (*ABOUT_THE_IMAGE, *ABOUT_THE_FRAME):
        if keyword in dataset:
            attributes[keyword] = dataset[keyword]
    shared, each = (dataset.get(keyword) or [] for keyword in GROUPS)
    for groups in (*shared[:1], *each[frame : frame + 1]):
        for macro in MACROS:
            for item in (groups.get(macro) or [])[:1]:
                for keyword in ABOUT_THE_FRAME:
                    if keyword in item:
                        attributes[keyword] = item[keyword]
    return attributes
