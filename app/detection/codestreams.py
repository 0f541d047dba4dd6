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
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
MAX_JPEG_SCANS = 100  # as in libtiff; encoders write about ten, and each passes over all pixels

JPEG2000_START = b"\xff\x4f\xff\x51"
JPEG2000_COD = 0xFF52
JPEG2000_COC = 0xFF53
JPEG2000_SOT = 0xFF90
JPEG2000_SOD = 0xFF93
JPEG2000_WHOLE_PRECINCTS = 0xFF  # 2**15 pixels each way
MAX_JPEG2000_PACKETS = 1_000_000

RLE_HEADER = struct.Struct("<16I")
RLE_MAX_SEGMENTS = 15
RLE_SLACK_BYTES = 2**16


def check_jpeg(data: bytes, image_format: str = "JPEG") -> None:
    """Check how often a decoder would pass over the image.

    Raises:
        DamagedImageError: It holds more scans than any encoder writes.
    """
    scans, position = 0, 2
    while found := JPEG_MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == JPEG_EOI:
            return
        scans += marker == JPEG_SOS
        if scans > MAX_JPEG_SCANS:
            raise DamagedImageError(image_format)
        position += int.from_bytes(data[position : position + 2])


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

    width: int
    height: int
    tiles: int
    components: int


def check_jpeg2000(frame: bytes) -> None:
    """Check into how many pieces the image is cut.

    Raises:
        DamagedImageError: Into more packets than an image of the accepted size needs, or the
            codestream's header cannot be read.
    """
    start = frame.find(JPEG2000_START)
    while start >= 0:
        try:
            _check_codestream(frame, start + 2)
        except (struct.error, IndexError) as error:
            raise DamagedImageError("DICOM") from error
        start = frame.find(JPEG2000_START, start + 1)


def _check_codestream(frame: bytes, position: int) -> None:
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


def _tiling_of(frame: bytes, position: int) -> _Tiling:
    """Read the body of the SIZ segment."""
    _, right, bottom, left, top, width, height, tiles_left, tiles_top, components = (
        struct.unpack_from(">H8IH", frame, position)
    )
    if not (width and height and right > left and bottom > top):
        raise DamagedImageError("DICOM")
    across, down = -(-(right - tiles_left) // width), -(-(bottom - tiles_top) // height)
    return _Tiling(
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
