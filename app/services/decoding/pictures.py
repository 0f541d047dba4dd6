"""Scans and heatmaps as PNG pictures: kept without loss, drawn so that they can be read."""

import io
import struct
import zlib
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_UINT8 = 255
MAX_UINT16 = 65535
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_UP = 2  # the filter that takes from each byte the one above
COMPRESSION = 3  # of 0 … 9; higher takes longer and saves little
MAX_OVERLAY_SIDE = 1024
MAX_THUMBNAIL_SIDE = 112  # twice the CSS pixels of a list's row, for dense displays

# Evidence from weak to certain: the colour darkens steadily from amber to red, so that the order
# is seen without telling red from green, and every step stands off black, grey and white.
RAMP = np.array([[255, 200, 60], [245, 130, 30], [214, 28, 52]], dtype=np.float32)
MAX_OPACITY = 0.75  # leaves the scan visible underneath

GreyPixels = NDArray[np.uint8] | NDArray[np.uint16]


def quantised(grey: NDArray[np.float32]) -> GreyPixels:
    """Return grey values in [0, 1] as 8 bits where they fit exactly, otherwise as 16 bits."""
    eight: NDArray[np.uint8] = np.rint(grey * np.float32(MAX_UINT8)).astype(np.uint8)
    if np.array_equal(restored(eight), grey):
        return eight
    sixteen: NDArray[np.uint16] = np.rint(grey * np.float32(MAX_UINT16)).astype(np.uint16)
    return sixteen


def restored(pixels: GreyPixels) -> NDArray[np.float32]:
    """Return the grey values of pixels, float32 in [0, 1], as decoding their file would."""
    full = MAX_UINT8 if pixels.dtype == np.uint8 else MAX_UINT16
    return pixels.astype(np.float32) / np.float32(full)


def encoded(pixels: GreyPixels) -> bytes:
    """Return pixels ``[H, W]`` as a greyscale PNG of 8 or 16 bits, without any metadata.

    Pillow tries five filters on each row and looks for repetitions, which a scan hardly has. With
    one filter, and Huffman codes alone but for runs, a slice of 512 × 512 takes a quarter of the
    time and no more room.
    """
    height, width = pixels.shape
    bits = 8 * pixels.itemsize
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8)
    filtered = np.full((height, rows.shape[1] + 1), PNG_UP, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    compressor = zlib.compressobj(strategy=zlib.Z_RLE)
    return (
        PNG_SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
        + _chunk(b"IDAT", compressor.compress(filtered.data) + compressor.flush())
        + _chunk(b"IEND", b"")
    )


def decoded(png: bytes) -> GreyPixels:
    """Return the pixels of a PNG that ``encoded`` made."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        if image.mode == "L":
            return np.asarray(image, dtype=np.uint8)
        return np.asarray(image, dtype=np.uint16)


def eight_bits(pixels: GreyPixels) -> NDArray[np.uint8]:
    """Return pixels as a screen or a printer shows them, of 16 bits the upper eight."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return (pixels >> 8).astype(np.uint8)


def fingerprint(pixels: GreyPixels) -> str:
    """Return a hash, hex, by which pixels are known again as a browser shows and saves them."""
    shown = eight_bits(pixels)
    return sha256(repr(shown.shape).encode() + shown.tobytes()).hexdigest()


def thumbnail(pixels: GreyPixels) -> bytes:
    """Draw pixels ``[H, W]`` small, for lists.

    Returns:
        A greyscale PNG of 8 bits, of the scan's aspect ratio and at most 112 pixels a side.
    """
    image = Image.fromarray(eight_bits(pixels))
    image.thumbnail((MAX_THUMBNAIL_SIDE, MAX_THUMBNAIL_SIDE))
    return encoded(np.asarray(image, dtype=np.uint8))


def overlay(evidence: NDArray[np.float32], width: int, height: int) -> bytes:
    """Draw evidence as a picture to be laid over the scan.

    Args:
        evidence: In [0, 1], shape ``[h, w]``, over the same field of view as the scan.
        width: Of the scan, in pixels.
        height: Of the scan, in pixels.

    Returns:
        A PNG of 256 colours, of the scan's aspect ratio and at most 1024 pixels a side; fully
        transparent where there is no evidence.
    """
    shrink = min(1.0, MAX_OVERLAY_SIDE / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    # This filter has no negative lobes, which would draw faint rings where there is no evidence.
    smooth = Image.fromarray(evidence.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    roots = np.sqrt(np.clip(np.asarray(smooth), 0, 1))
    image = Image.fromarray(np.rint(roots * MAX_UINT8).astype(np.uint8))
    image.putpalette(_palette(), "RGBA")
    return _png(image)


@cache
def _palette() -> bytes:
    """Return the colours of evidence, RGBA, in even steps of its root from 0 to 1.

    The opacity follows the root, so that no step from one colour to the next can be seen.
    """
    roots = np.linspace(0, 1, MAX_UINT8 + 1)
    stops = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(roots**2, stops, RAMP[:, channel]) for channel in range(3)]
    opacity = MAX_OPACITY * roots  # weak evidence shows, nothing has an edge
    colours = np.stack([*channels, opacity * MAX_UINT8], axis=-1)
    return np.rint(colours).astype(np.uint8).tobytes()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=COMPRESSION)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
