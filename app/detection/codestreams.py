"""What a compressed image costs to decode, told from its markers before it is decoded.

A few kilobytes can ask a decoder for hours of work or for gigabytes of memory although the image
itself is small: by passing over it again and again, by cutting it into millions of pieces, or by
holding far more than the image needs. Images out of scanners and archives do none of that.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import DamagedImageError

JPEG_EOI = 0xD9
JPEG_SOS = 0xDA
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
MAX_JPEG_SCANS = 100  # as in libtiff; encoders write about ten, and each passes over all pixels

JPEG_LS_FRAMES = frozenset({0xF7})
JPEG_LS_PRESETS = 0xF8
JPEG_LS_OVERSIZE = 4
JPEG_LS_MARKER = re.compile(rb"\xff+([\x80-\xcf\xd8-\xfe])", re.DOTALL)

JPEG2000_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "
JP2_CODESTREAM = b"jp2c"
JP2_BOX_HEADER_BYTES = 8
JPEG2000_COD = 0xFF52
JPEG2000_COC = 0xFF53
JPEG2000_SOT = 0xFF90
JPEG2000_SOD = 0xFF93
JPEG2000_WHOLE_PRECINCTS = 0xFF  # 2**15 pixels each way
MAX_JPEG2000_PACKETS = 1_000_000

RLE_HEADER = struct.Struct("<16I")
RLE_MAX_SEGMENTS = 15
RLE_SLACK_BYTES = 2**16


def check_jpeg(data: bytes, image_format: str = "JPEG") -> tuple[int, int]:
    """Check how often a decoder would pass over the image.

    Returns:
        Width and height that it decodes to, in pixels.

    Raises:
        DamagedImageError: It holds more scans than any encoder writes, or not one frame header.
    """
    scans, sizes = 0, []
    for marker, body in _jpeg_segments(data, JPEG_MARKER):
        scans += marker == JPEG_SOS
        if marker in JPEG_FRAMES:
            sizes.append(_jpeg_size(body))
        if scans > MAX_JPEG_SCANS:
            raise DamagedImageError(image_format)
    if len(sizes) != 1 or 0 in sizes[0]:
        raise DamagedImageError(image_format)
    return sizes[0]


def check_jpeg_ls(frame: bytes) -> tuple[int, int]:
    """Check what a JPEG-LS image decodes to (ISO/IEC 14495-1, Annex C).

    Returns:
        Width and height, in pixels.

    Raises:
        DamagedImageError: It has not one frame header, or another place that tells its size.
    """
    sizes = []
    for marker, body in _jpeg_segments(frame, JPEG_LS_MARKER):
        if marker == JPEG_LS_PRESETS and body[:1] == bytes([JPEG_LS_OVERSIZE]):
            raise DamagedImageError("DICOM")
        if marker in JPEG_LS_FRAMES:
            sizes.append(_jpeg_size(body))
    if len(sizes) != 1 or 0 in sizes[0]:
        raise DamagedImageError("DICOM")
    return sizes[0]


def _jpeg_segments(data: bytes, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """Give marker and beginning of every segment up to the end of the image."""
    position = 2
    while found := pattern.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == JPEG_EOI:
            return
        yield marker, data[position + 2 : position + 7]
        position += int.from_bytes(data[position : position + 2])


def _jpeg_size(body: bytes) -> tuple[int, int]:
    """Return width and height that a frame header tells, in pixels; 0 where it is cut short."""
    return int.from_bytes(body[3:5]), int.from_bytes(body[1:3])


def check_rle(frame: bytes, pixels: int) -> None:
    """Check that the segments of an RLE frame hold about as many bytes as the image has pixels.

    Args:
        frame: As DICOM PS3.5 Annex G describes it.
        pixels: Of the image; a segment holds one byte of each.

    Raises:
        DamagedImageError: They hold more, or the frame has no header.
    """
    if len(frame) < RLE_HEADER.size:
        raise DamagedImageError("DICOM")
    count, *offsets = RLE_HEADER.unpack_from(frame)
    if count > RLE_MAX_SEGMENTS:
        raise DamagedImageError("DICOM")
    limit = pixels + pixels // 8 + RLE_SLACK_BYTES
    ends = [*offsets[1:count], len(frame)]
    for start, end in zip(offsets[:count], ends, strict=True):
        _check_rle_segment(frame[start:end], limit)


def _check_rle_segment(segment: bytes, limit: int) -> None:
    position = held = 0
    while position < len(segment):
        control = segment[position]
        if control > 128:  # one byte, repeated
            position, held = position + 2, held + 257 - control
        elif control < 128:  # that many bytes and one more, as they are
            position, held = position + 2 + control, held + 1 + control
        else:
            position += 1
        if held > limit:
            raise DamagedImageError("DICOM")


# --- JPEG 2000 (ISO/IEC 15444-1, Annex A) ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiling:
    """How a codestream is cut into tiles."""

    image_width: int
    image_height: int
    width: int
    height: int
    tiles: int
    components: int


def check_jpeg2000(frame: bytes) -> tuple[int, int]:
    """Check into how many pieces the image is cut.

    Returns:
        Width and height that it decodes to, in pixels.

    Raises:
        DamagedImageError: Into more packets than an image of the accepted size needs, or there is
            not one codestream whose header can be read.
    """
    _check_boxes(frame)
    start = frame.find(JPEG2000_START)
    if start < 0 or frame.find(JPEG2000_START, start + 1) >= 0:
        raise DamagedImageError("DICOM")
    try:
        return _check_codestream(frame, start + 2)
    except (struct.error, IndexError) as error:
        raise DamagedImageError("DICOM") from error


def _check_boxes(frame: bytes) -> None:
    """Check the boxes around a codestream, where some writers leave them against the standard.

    pydicom goes from one to the next by their lengths, and for ever if one is 0.
    """
    position = int.from_bytes(frame[:4]) if frame.startswith(JP2_START) else len(frame)
    while position < len(frame) and frame[position + 4 : position + 8] != JP2_CODESTREAM:
        length = int.from_bytes(frame[position : position + 4])
        if length < JP2_BOX_HEADER_BYTES:
            raise DamagedImageError("DICOM")
        position += length


def _check_codestream(frame: bytes, position: int) -> tuple[int, int]:
    tiling = _tiling_of(frame, position + 4)
    layers = pieces = 1
    for marker, body in _segments(frame, position):
        if marker == JPEG2000_COD:
            layers = max(layers, struct.unpack_from(">H", body, 2)[0])
            pieces = max(pieces, _precincts(tiling, body[0], body[5:]))
        elif marker == JPEG2000_COC:
            index_bytes = 1 if tiling.components <= 256 else 2
            pieces = max(pieces, _precincts(tiling, body[index_bytes], body[index_bytes + 1 :]))
        if layers * pieces > MAX_JPEG2000_PACKETS:
            raise DamagedImageError("DICOM")
    return tiling.image_width, tiling.image_height


def _tiling_of(frame: bytes, position: int) -> _Tiling:
    """Read the body of the SIZ segment."""
    _, right, bottom, left, top, width, height, tiles_left, tiles_top, components = (
        struct.unpack_from(">H8IH", frame, position)
    )
    if not (width and height and right > left and bottom > top and components in (1, 3)):
        raise DamagedImageError("DICOM")
    across, down = -(-(right - tiles_left) // width), -(-(bottom - tiles_top) // height)
    return _Tiling(
        image_width=right - left,
        image_height=bottom - top,
        width=min(width, right - left),
        height=min(height, bottom - top),
        tiles=max(1, across) * max(1, down),
        components=components,
    )


def _segments(frame: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """Give the marker segments of the main header and of each tile-part's header."""
    tile_part, tile_part_bytes = 0, 0
    while position + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, position)
        if marker == JPEG2000_SOD:
            if tile_part_bytes == 0:  # it lasts to the end
                return
            position, tile_part_bytes = tile_part + tile_part_bytes, 0
            continue
        if marker < 0xFF00 or length < 2:
            return
        body = frame[position + 4 : position + 2 + length]
        if marker == JPEG2000_SOT:
            tile_part, tile_part_bytes = position, struct.unpack_from(">I", body, 2)[0]
            if 0 < tile_part_bytes < 2 + length:
                return
        yield marker, body
        position += 2 + length


def _precincts(tiling: _Tiling, style: int, parameters: bytes) -> int:
    """Return how many precincts a coding style makes of the whole image, in all resolutions."""
    levels = parameters[0]
    total = 0
    for level in range(levels + 1):
        sizes = parameters[5 + levels - level] if style & 1 else JPEG2000_WHOLE_PRECINCTS
        across = (tiling.width >> level >> (sizes & 15)) + 1
        down = (tiling.height >> level >> (sizes >> 4)) + 1
        total += across * down
    return total * tiling.tiles * tiling.components
