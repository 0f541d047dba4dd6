"""Files of every kind that Veriscan reads, and ways to spoil them."""

import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pydicom

from tests.factories import (
    bmp_bytes,
    dicom_bytes,
    grey8,
    jpeg_bytes,
    make_grey,
    png16_bytes,
    png_bytes,
    tiff16_bytes,
    tiff_bytes,
)
from tests.scanners import SCANNERS, SYNTAXES, compressed

MAX_SEED_BYTES = 2**16
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WIDTHS = ("B", "<H", ">H", "<I", ">I")
HEADER_BYTES = 2048

Mutation = Callable[[np.random.Generator, bytearray], bytearray]


@cache
def seeds() -> Sequence[bytes]:
    """Return small files: pictures, DICOM in each syntax, of many scanners, and pydicom's own."""
    grey = make_grey(80, 72)
    pictures = [encode(grey) for encode in (png_bytes, png16_bytes, jpeg_bytes, tiff_bytes)]
    pictures += [tiff16_bytes(grey), bmp_bytes(grey), png_bytes(grey, mode="P")]
    pictures += [jpeg_bytes(grey, mode="CMYK"), tiff_bytes(grey, frames=3)]
    plain = [dicom_bytes(grey, transfer_syntax=s) for s in ("explicit", "implicit", "rle")]
    packed = [compressed(grey8(grey), syntax) for syntax in SYNTAXES]
    scanners = [make() for make in SCANNERS.values()]
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    theirs = [path.read_bytes() for path in sorted(folder.glob("*.dcm"))]
    small = [data for data in theirs if len(data) <= MAX_SEED_BYTES]
    return (*pictures, *plain, *packed, *scanners, *small)


def spoilt(generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    """Return one of the files with one to eight changes, most of them near its beginning."""
    data = bytearray(files[int(generator.integers(len(files)))])
    for _ in range(generator.integers(1, 9)):
        if not data:
            break
        if generator.random() < 0.05:
            data = _spliced(generator, data, files)
        else:
            data = MUTATIONS[int(generator.integers(len(MUTATIONS)))](generator, data)
    return bytes(data)


def _place(generator: np.random.Generator, data: bytearray) -> int:
    end = len(data) if generator.random() < 0.3 else min(len(data), HEADER_BYTES)
    return int(generator.integers(end))


def _byte(generator: np.random.Generator, data: bytearray) -> bytearray:
    data[_place(generator, data)] = int(generator.integers(256))
    return data


def _number(generator: np.random.Generator, data: bytearray) -> bytearray:
    width = WIDTHS[int(generator.integers(len(WIDTHS)))]
    size = struct.calcsize(width)
    number = NUMBERS[int(generator.integers(len(NUMBERS)))] & (256**size - 1)
    place = _place(generator, data)
    data[place : place + size] = struct.pack(width, number)
    return data


def _cut(generator: np.random.Generator, data: bytearray) -> bytearray:
    return data[: _place(generator, data)] if generator.random() < 0.3 else data


def _removed(generator: np.random.Generator, data: bytearray) -> bytearray:
    place = _place(generator, data)
    del data[place : place + int(generator.integers(1, 64))]
    return data


def _repeated(generator: np.random.Generator, data: bytearray) -> bytearray:
    place = _place(generator, data)
    piece = data[place : place + int(generator.integers(1, 512))]
    return data[:place] + piece * int(generator.integers(2, 20)) + data[place:]


def _blanked(generator: np.random.Generator, data: bytearray) -> bytearray:
    place = _place(generator, data)
    count = min(int(generator.integers(1, 256)), len(data) - place)
    data[place : place + count] = bytes([int(generator.choice([0, 255]))]) * count
    return data


def _spliced(generator: np.random.Generator, data: bytearray, files: Sequence[bytes]) -> bytearray:
    other = files[int(generator.integers(len(files)))]
    return data[: _place(generator, data)] + other[int(generator.integers(len(other))) :]


MUTATIONS: tuple[Mutation, ...] = (
    *(_byte, _byte, _number, _number),  # twice what finds most
    *(_cut, _removed, _repeated, _blanked),
)
