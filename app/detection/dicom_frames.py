"""From a DICOM file's pixel data to the stored values of one frame."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    JPEGBaseline8Bit,
    RLELossless,
)

from app.detection import dicom_codecs
from app.detection.codestreams import (
    check_jpeg,
    check_jpeg2000,
    check_jpeg_ls,
    check_rle,
)
from app.detection.dicom_header import MAX_FRAMES
from app.detection.limits import DecodingLimits
from app.errors import DamagedImageError, NoSuchFrameError, UnsupportedDicomError

NOT_SCANS = ("SEG", "RTDOSE")
"""Modalities whose pixels are masks or doses, which a viewer lays over a scan."""
FRAGMENT_HEADER_BYTES = 8

dicom_codecs.add_decoders()


def count_frames(dataset: FileDataset) -> int:
    """Return how many images the file holds.

    Raises:
        DamagedImageError: Its pixel data cannot hold as many as it says, or it says too many.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        least_bytes = FRAGMENT_HEADER_BYTES
    else:
        samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)
        if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            samples = samples * 2 // 3  # two pixels share their colour
        least_bytes = samples * int(dataset.BitsAllocated) // 8
    if not 1 <= frames <= MAX_FRAMES or frames * least_bytes > len(dataset.PixelData) + 1:
        raise DamagedImageError("DICOM")
    return frames


def check_pixels(dataset: FileDataset, frame: int, limits: DecodingLimits) -> None:
    """Check what the header and the frame declare, before any pixel is decoded.

    Raises:
        UploadError: There is no image, none of that number, one that is too big or too small, or
            one of a kind that cannot be judged.
    """
    if "PixelData" not in dataset:
        raise UnsupportedDicomError("it holds no image")
    if dataset.get("Modality") in NOT_SCANS:
        raise UnsupportedDicomError("it holds a segmentation or a dose map, not a scan")
    limits.check_size(int(dataset.Columns), int(dataset.Rows))
    if int(dataset.SamplesPerPixel) not in (1, 3):
        raise UnsupportedDicomError("it is neither greyscale nor colour")
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise UnsupportedDicomError("its colours come from a palette; export it as greyscale")
    frames = count_frames(dataset)
    if not 0 <= frame < frames:
        raise NoSuchFrameError(frame + 1, frames)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_frame(dataset, frame, frames, limits)


def _check_frame(dataset: FileDataset, frame: int, frames: int, limits: DecodingLimits) -> None:
    """Check what a compressed frame costs: the decoder goes by that, whatever the header says."""
    syntax = dataset.file_meta.TransferSyntaxUID
    source = get_frame(
        dataset.PixelData,
        frame,
        number_of_frames=frames,
        extended_offsets=_extended_offsets(dataset),
    )
    if syntax == RLELossless:
        check_rle(source, int(dataset.Rows) * int(dataset.Columns))
    elif check := _CHECKS.get(syntax):
        limits.check_size(*check(source))
    else:
        raise UnsupportedDicomError("its compression is not supported; export it uncompressed")


def _extended_offsets(dataset: FileDataset) -> tuple[bytes, bytes] | None:
    """Return where the frames begin and how long they are, where the file says so."""
    keywords = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    offsets, lengths = (dataset.get(keyword) for keyword in keywords)
    return (offsets, lengths) if offsets and lengths else None


_CHECKS: Mapping[UID, Callable[[bytes], tuple[int, int]]] = {
    **dict.fromkeys((JPEGBaseline8Bit, *dicom_codecs.JPEG), lambda f: check_jpeg(f, "DICOM")),
    **dict.fromkeys(dicom_codecs.JPEG_LS, check_jpeg_ls),
    **dict.fromkeys(dicom_codecs.JPEG_2000, check_jpeg2000),
}


def stored_values(dataset: FileDataset, frame: int) -> NDArray[np.integer]:
    """Return the stored values of a frame, shape ``[H, W]`` or, in RGB, ``[H, W, 3]``.

    Raises:
        UnsupportedDicomError: Its compression cannot be read, or the frame is damaged.
    """
    try:
        stored, _ = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, index=frame)
    except (NotImplementedError, RuntimeError) as error:
        raise UnsupportedDicomError(
            "its compression is not supported or its image is damaged; export it uncompressed"
        ) from error
    return stored
