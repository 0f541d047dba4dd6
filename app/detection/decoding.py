"""From the bytes of a file to the grey values that a network sees and a person is shown.

The format is told by the bytes, never by a file name or by what the client says. Grey values are
scaled by what the file declares (bit depth, rescale, window), never by the brightest pixel that
happens to be in it, so that a dark image stays dark.
"""

import io
import secrets
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from app.detection.codestreams import check_jpeg
from app.detection.dicom import decode_dicom
from app.detection.dicom_header import is_dicom
from app.detection.limits import MIN_SIDE_PIXELS, DecodingLimits
from app.detection.series import SeriesPosition
from app.detection.spec import ModalitySpec
from app.detection.writing import has_writing
from app.errors import (
    DamagedImageError,
    EmptyFileError,
    FileTooLargeError,
    MultiFrameError,
    NoSuchFrameError,
    UnsupportedDepthError,
    UnsupportedFormatError,
    UploadError,
)

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
)
TIFF_BITS_PER_SAMPLE = 258
TIFF_PHOTOMETRIC_INTERPRETATION = 262
TIFF_TILE_WIDTH = 322
TIFF_TILE_LENGTH = 323
WHITE_IS_ZERO = 0
MAX_COUNTED_FRAMES = 1000
PROCESS_KEY = secrets.token_bytes(32)
"""Hashes the series where nobody gives a key: comparable within this process alone."""

# The limit on pixels is ours (DecodingLimits), checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedScan:
    """A scan as the detectors see it.

    Attributes:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``; 0 is black.
        image_format: ``PNG``, ``JPEG``, ``TIFF``, ``BMP`` or ``DICOM``.
        sha256: Of the file's bytes, hex.
        declared_synthetic: The DICOM attribute Synthetic Data (0008,001C) says YES.
        frames: How many images the file holds, of which this is one.
        burned_in_text: There is, or the file says that there is, writing in the picture itself.
        series: Where the image stands in its series; None where the file does not say.
        hounsfield: What black and white stand for, in Hounsfield units (HU); None where they do
            not stand for HU.
    """

    grey: NDArray[np.float32]
    image_format: str
    sha256: str
    declared_synthetic: bool = False
    frames: int = 1
    burned_in_text: bool = False
    series: SeriesPosition | None = None
    hounsfield: tuple[float, float] | None = None

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.grey.shape[0])

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.grey.shape[1])


def decode(
    data: bytes,
    spec: ModalitySpec,
    limits: DecodingLimits | None = None,
    frame: int = 0,
    *,
    series_key: bytes = PROCESS_KEY,
) -> DecodedScan:
    """Decode one image of a file.

    Args:
        data: The whole file.
        spec: The modality it is said to be; gives the window for Hounsfield units.
        limits: Bounds; the defaults where None.
        frame: Which image of a DICOM or TIFF file that holds several, from 0.
        series_key: Secret with which the UID of a DICOM series is hashed.

    Raises:
        UploadError: The file is empty, too large, of another format, damaged, too big or too
            small in pixels, has no such frame or is a DICOM object without a usable image.
        MemoryError: Where memory is bounded, and it takes more.
    """
    limits = limits or DecodingLimits()
    check_bytes(data, limits)
    digest = sha256(data).hexdigest()
    if is_dicom(data):
        scan = decode_dicom(data, spec.window, limits, frame, series_key)
        return DecodedScan(
            grey=scan.grey,
            image_format="DICOM",
            sha256=digest,
            declared_synthetic=scan.declared_synthetic,
            frames=scan.frames,
            burned_in_text=scan.declared_annotated or has_writing(scan.grey),
            series=scan.series,
            hounsfield=scan.hounsfield,
        )
    picture = _decode_picture(data, limits, frame)
    return DecodedScan(
        grey=picture.grey,
        image_format=picture.image_format,
        sha256=digest,
        frames=picture.frames,
        burned_in_text=has_writing(picture.grey),
    )


def check_bytes(data: bytes, limits: DecodingLimits) -> None:
    """Check how many bytes a file has.

    Raises:
        EmptyFileError: None at all.
        FileTooLargeError: Too many.
    """
    if not data:
        raise EmptyFileError
    if len(data) > limits.max_bytes:
        raise FileTooLargeError(limits.max_bytes)


def decode_single(
    data: bytes, spec: ModalitySpec, limits: DecodingLimits | None = None
) -> DecodedScan:
    """Decode the only image of a file, for those who would not look at a second one.

    Raises:
        MultiFrameError: It holds several.
        UploadError: It cannot be decoded.
    """
    return only_frame(decode(data, spec, limits))


def only_frame(scan: DecodedScan) -> DecodedScan:
    """Return a scan that is the only image of its file.

    Raises:
        MultiFrameError: It is not.
    """
    if scan.frames > 1:
        raise MultiFrameError(scan.frames)
    return scan


@dataclass(frozen=True, slots=True)
class _Picture:
    """What an image in a general format holds."""

    grey: NDArray[np.float32]
    image_format: str
    frames: int


def _decode_picture(data: bytes, limits: DecodingLimits, frame: int) -> _Picture:
    image_format = format_of(data)
    if image_format is None:
        raise UnsupportedFormatError
    try:
        if image_format == "JPEG":
            check_jpeg(data)
        with Image.open(io.BytesIO(data), formats=(image_format,)) as image:
            frames = _select(image, frame)
            _check_picture(image, limits)
            return _Picture(_grey(image), image_format, frames)
    except (UploadError, MemoryError):
        raise
    except Exception as error:  # a hostile header or damaged data may make Pillow raise anything
        raise DamagedImageError(image_format) from error


def format_of(data: bytes) -> str | None:
    """Return the format that a file's first bytes tell; None where it is none of ours."""
    if is_dicom(data):
        return "DICOM"
    for signature, image_format in SIGNATURES:
        if data.startswith(signature):
            return image_format
    return None


def _select(image: Image.Image, frame: int) -> int:
    """Turn to one of a file's images and return how many there are.

    Only a TIFF is a stack of images; the frames of an animated PNG are parts of one.
    """
    frames = _frames(image)
    if frames > 1 and image.format != "TIFF":
        raise MultiFrameError(frames)
    if not 0 <= frame < frames:
        raise NoSuchFrameError(frame + 1, frames)
    if image.format == "TIFF":
        image.seek(frame)
    return frames


def _check_picture(image: Image.Image, limits: DecodingLimits) -> None:
    """Check what the header declares, before any pixel is decoded."""
    limits.check_size(image.width, image.height)
    tile_width, tile_length = _tiff_tag(image, TIFF_TILE_WIDTH), _tiff_tag(image, TIFF_TILE_LENGTH)
    if tile_width and tile_length:  # a whole tile is decoded, even where the image is smaller
        limits.check_size(max(tile_width, MIN_SIDE_PIXELS), max(tile_length, MIN_SIDE_PIXELS))


def _frames(image: Image.Image) -> int:
    """Return how many images the file holds.

    A TIFF's images are a chain. Pillow compares each link with all before it, so to walk along a
    chain of a quarter of a million links, which fits into an upload, would take hours.

    Raises:
        MultiFrameError: A TIFF holds ``MAX_COUNTED_FRAMES`` or more.
    """
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return int(getattr(image, "n_frames", 1))
    frames = 1
    with suppress(EOFError):
        while frames < MAX_COUNTED_FRAMES:
            image.seek(frames)
            frames += 1
    if frames == MAX_COUNTED_FRAMES:
        raise MultiFrameError(frames)
    return frames


def _grey(image: Image.Image) -> NDArray[np.float32]:
    """Return the luma of an image as float32 in [0, 1], upright."""
    bits = _tiff_tag(image, TIFF_BITS_PER_SAMPLE) or 16
    is_white_zero = _tiff_tag(image, TIFF_PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow gives these values as they are stored: of 12 or 16 bits, black or white first.
        values = np.asarray(upright, dtype=np.float32) / np.float32(2**bits - 1)
        grey: NDArray[np.float32] = np.clip(values, 0, 1)
        return np.float32(1) - grey if is_white_zero else grey
    if upright.mode in ("I", "F"):
        raise UnsupportedDepthError
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return np.asarray(upright.convert("L"), dtype=np.float32) / np.float32(255)


def _tiff_tag(image: Image.Image, tag: int) -> int | None:
    """Return the first value of a TIFF tag; None where there is none or in other formats."""
    value = getattr(image, "tag_v2", {}).get(tag)
    return int(value[0] if isinstance(value, tuple) else value) if value is not None else None
