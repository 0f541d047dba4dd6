import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.detection.decoding import decode
from app.detection.spec import modality
from app.detection.writing import has_writing
from tests.factories import dicom_bytes, grey8, jpeg_bytes, make_grey, png_bytes

LUNG = modality("lung_ct")


def scan(side: int = 512) -> NDArray[np.float32]:
    """Something smooth on black, as a slice of a body is, bright spots scattered over it."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    body = np.where(x**2 + (y * 1.3) ** 2 < 0.7, 0.4 + 0.2 * np.cos(5 * x) * np.sin(4 * y), 0)
    generator = np.random.default_rng(side)
    for cx, cy in generator.uniform(-0.5, 0.5, (60, 2)):
        body[(x - cx) ** 2 + (y - cy) ** 2 < generator.uniform(0.0001, 0.0004)] = 1
    return body.astype(np.float32)


def written(text: str, *, size: int = 16, brightness: int = 255, side: int = 512) -> bytes:
    image = Image.fromarray(grey8(scan(side)))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((6, 6), text, fill=brightness, font=font)
    return png_bytes(np.asarray(image, dtype=np.float32) / np.float32(255))


def grey_of(data: bytes) -> NDArray[np.float32]:
    return decode(data, LUNG).grey


@pytest.mark.parametrize("text", ["SENTINEL PATIENCE", "1950-01-02 074Y", "St. Elsewhere"])
@pytest.mark.parametrize("size", [16, 24, 40])
def test_a_line_of_print_is_found(text: str, size: int) -> None:
    assert has_writing(grey_of(written(text, size=size)))


def test_print_is_found_after_lossy_compression_and_when_it_is_not_quite_white() -> None:
    assert has_writing(grey_of(jpeg_bytes(grey_of(written("SENTINEL PATIENCE")))))
    assert has_writing(grey_of(written("SENTINEL PATIENCE", brightness=210)))


def test_print_on_a_large_scan_is_found() -> None:
    assert has_writing(grey_of(written("SENTINEL PATIENCE", side=2100, size=64)))


@pytest.mark.parametrize(
    "grey",
    [
        scan(),
        make_grey(),
        make_grey(512, 512),
        np.zeros((64, 64), np.float32),
        np.ones((64, 64), np.float32),
        np.random.default_rng(0).random((512, 512), np.float32),
        np.indices((512, 512)).sum(axis=0).astype(np.float32) % 2,
        (np.indices((512, 512)).sum(axis=0) % 20 < 10).astype(np.float32),
    ],
)
def test_nothing_is_found_where_nobody_wrote(grey: NDArray[np.float32]) -> None:
    assert not has_writing(grey)


def test_the_letter_that_marks_the_side_is_no_writing() -> None:
    assert not has_writing(grey_of(written("L", size=40)))


def test_a_scan_says_that_it_has_writing_whatever_its_format() -> None:
    grey = grey_of(written("SENTINEL PATIENCE"))

    for data in (png_bytes(grey), jpeg_bytes(grey), dicom_bytes(grey)):
        assert decode(data, LUNG).burned_in_text
    assert not decode(dicom_bytes(scan()), LUNG).burned_in_text


def test_the_largest_scans_are_searched_in_a_moment() -> None:
    hostile = np.zeros((5000, 8000), np.float32)
    hostile[::8, ::8] = 1
    hostile[::8, 1::8] = 1
    started_s = time.thread_time()

    has_writing(hostile)
    has_writing(np.random.default_rng(0).random((5000, 8000), np.float32))

    assert time.thread_time() - started_s < 5
