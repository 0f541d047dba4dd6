import io
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.detection.decoding import DecodedScan, decode, decode_single
from app.detection.limits import MIN_SIDE_PIXELS, DecodingLimits
from app.detection.spec import modality
from app.errors import (
    DamagedImageError,
    EmptyFileError,
    FileTooLargeError,
    MultiFrameError,
    NoSuchFrameError,
    TooFewPixelsError,
    TooManyPixelsError,
    UnsupportedDepthError,
    UnsupportedFormatError,
    UploadError,
)
from tests.app.detection.hostile import check_spoilt_copies
from tests.factories import (
    bmp_bytes,
    float_tiff_bytes,
    grey8,
    grey16,
    huge_png_header,
    jpeg_bytes,
    make_grey,
    picture_bytes,
    png16_bytes,
    png_bytes,
    tiff16_bytes,
    tiff_bytes,
    truncated,
)

HALF_STEP_8_BIT = 0.5 / 255 + 1e-6
HALF_STEP_16_BIT = 0.5 / 65535 + 1e-6


def decoded(data: bytes) -> DecodedScan:
    return decode(data, modality("lung_ct"))


@pytest.mark.parametrize(
    ("encode", "image_format", "tolerance"),
    [
        (png_bytes, "PNG", HALF_STEP_8_BIT),
        (png16_bytes, "PNG", HALF_STEP_16_BIT),
        (tiff_bytes, "TIFF", HALF_STEP_8_BIT),
        (tiff16_bytes, "TIFF", HALF_STEP_16_BIT),
        (bmp_bytes, "BMP", HALF_STEP_8_BIT),
        (jpeg_bytes, "JPEG", 0.06),
    ],
)
def test_every_format_gives_the_grey_values_that_were_stored(
    encode: Callable[[NDArray[np.float32]], bytes], image_format: str, tolerance: float
) -> None:
    grey = make_grey(width=97, height=71)

    scan = decoded(encode(grey))

    assert scan.image_format == image_format
    assert (scan.width, scan.height) == (97, 71)
    assert scan.grey.dtype == np.float32
    assert np.abs(scan.grey - grey).max() <= tolerance
    assert not scan.declared_synthetic


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_a_grey_png_is_the_same_in_every_colour_mode(mode: str) -> None:
    assert np.abs(decoded(png_bytes(mode=mode)).grey - make_grey()).max() < 1.5 / 255


def test_a_palette_with_transparent_entries_is_read() -> None:
    image = Image.fromarray(grey8()).convert("P")
    data = picture_bytes(image, "PNG", transparency=bytes([0, 128] + [255] * 254))

    assert np.abs(decoded(data).grey - make_grey()).max() < 1.5 / 255


def test_one_bit_images_are_black_and_white() -> None:
    assert set(np.unique(decoded(png_bytes(mode="1")).grey)) == {0.0, 1.0}


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_the_same_in_grey_colour_and_cmyk(mode: str) -> None:
    assert np.abs(decoded(jpeg_bytes(mode=mode)).grey - make_grey()).mean() < 0.02


def test_a_dark_image_stays_dark() -> None:
    dark = make_grey() * np.float32(0.01)

    assert decoded(png16_bytes(dark)).grey.max() <= 0.011
    assert decoded(png_bytes(dark)).grey.max() <= 0.011


def test_an_exif_orientation_turns_the_scan_upright() -> None:
    grey = make_grey(width=96, height=64)
    quarter_turn_clockwise = 6

    scan = decoded(jpeg_bytes(grey, orientation=quarter_turn_clockwise))

    assert (scan.width, scan.height) == (64, 96)
    assert np.abs(scan.grey - np.rot90(grey, -1)).mean() < 0.02


def tiff_of(stored: NDArray[Any], tags: dict[int, int], order: str = "<") -> bytes:
    """Write an uncompressed one-strip TIFF with these tags, which Pillow itself cannot write."""
    height, width = stored.shape[:2]
    data = stored.tobytes()
    values = {256: width, 257: height, 259: 1, 262: 1, 273: 8, 277: 1, 278: height} | tags
    values[279] = len(data)
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value)
        for tag, value in sorted(values.items())
    )
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return header + data + struct.pack(f"{order}H", len(values)) + entries + bytes(4)


def test_a_big_endian_16_bit_tiff_is_read() -> None:
    stored = grey16()

    scan = decoded(tiff_of(stored.astype(">u2"), {258: 16}, order=">"))

    assert np.abs(scan.grey - make_grey()).max() <= HALF_STEP_16_BIT


def test_a_16_bit_tiff_that_stores_white_as_zero_is_turned_the_right_way() -> None:
    scan = decoded(tiff_of(65535 - grey16(), {258: 16, 262: 0}))

    assert np.abs(scan.grey - make_grey()).max() <= HALF_STEP_16_BIT


def test_an_8_bit_tiff_that_stores_white_as_zero_is_turned_the_right_way() -> None:
    scan = decoded(tiff_of(255 - grey8(), {258: 8, 262: 0}))

    assert np.abs(scan.grey - make_grey()).max() <= HALF_STEP_8_BIT


def test_a_12_bit_tiff_is_scaled_by_its_own_depth() -> None:
    stored = np.round(make_grey() * 4095).astype(np.uint16)
    first, second = stored[:, 0::2], stored[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    data = tiff_of(packed.astype(np.uint8).reshape(80, -1), {256: 96, 258: 12})

    assert np.abs(decoded(data).grey - make_grey()).max() <= 0.5 / 4095 + 1e-6


def test_the_hash_is_that_of_the_files_bytes() -> None:
    data = png_bytes()

    assert decoded(data).sha256 == decoded(data).sha256 != decoded(png16_bytes()).sha256
    assert len(decoded(data).sha256) == 64


def signed_tiff_bytes() -> bytes:
    return picture_bytes(Image.fromarray(grey8().astype(np.int32)), "TIFF")


def animated_png_bytes() -> bytes:
    frames = [Image.fromarray(grey8(make_grey(seed=seed))) for seed in range(3)]
    return picture_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyFileError),
        (b"a text file that calls itself scan.png", UnsupportedFormatError),
        (b"\x00", UnsupportedFormatError),
        (b"%PDF-1.7 " + bytes(500), UnsupportedFormatError),
        (b"GIF89a" + bytes(500), UnsupportedFormatError),
        (bytes(10_000), UnsupportedFormatError),
        (b"\x89PNG\r\n\x1a\n", DamagedImageError),
        (b"\xff\xd8\xff" + bytes(500), DamagedImageError),
        (b"II*\x00" + bytes(500), DamagedImageError),
        (b"MM\x00*\xff\xff\xff\xff", DamagedImageError),
        (b"BM" + bytes(500), DamagedImageError),
        (float_tiff_bytes(), UnsupportedDepthError),
        (signed_tiff_bytes(), UnsupportedDepthError),
        (animated_png_bytes(), MultiFrameError),
        (png_bytes(make_grey(MIN_SIDE_PIXELS - 1, 200)), TooFewPixelsError),
        (png_bytes(make_grey(200, 1)), TooFewPixelsError),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused_with_the_reason(
    data: bytes, error: type[UploadError]
) -> None:
    with pytest.raises(error) as raised:
        decoded(data)

    assert str(raised.value).endswith(".")


def test_each_image_of_a_tiff_can_be_had() -> None:
    data = tiff_bytes(frames=3)

    scans = [decode(data, modality("lung_ct"), frame=frame) for frame in range(3)]

    assert [scan.frames for scan in scans] == [3, 3, 3]
    for frame in (3, -1):
        with pytest.raises(NoSuchFrameError, match="holds 3"):
            decode(data, modality("lung_ct"), frame=frame)
    with pytest.raises(MultiFrameError, match="3 images"):
        decode_single(data, modality("lung_ct"))


def test_the_smallest_accepted_side_is_accepted() -> None:
    assert decoded(png_bytes(make_grey(MIN_SIDE_PIXELS, MIN_SIDE_PIXELS))).width == MIN_SIDE_PIXELS


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(FileTooLargeError, match="1 MB"):
        decode(bytes(2**20 + 1), modality("lung_ct"), DecodingLimits(max_bytes=2**20))


def test_a_small_file_of_very_many_pixels_is_refused_without_decoding_them() -> None:
    data = huge_png_header(30_000, 30_000)
    tracemalloc.start()
    started_s = time.perf_counter()

    with pytest.raises(TooManyPixelsError, match="30000 × 30000"):
        decoded(data)

    elapsed_s = time.perf_counter() - started_s
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert elapsed_s < 1
    assert peak_bytes < 10 * 2**20


def test_a_tiff_with_an_enormous_tile_is_refused_before_it_is_decoded() -> None:
    data = tiff_of(grey8(), {258: 8, 322: 32_000, 323: 32_000, 324: 8, 325: 7680})

    with pytest.raises(TooManyPixelsError):
        decoded(data)


def test_the_limit_on_pixels_is_the_one_given() -> None:
    limits = DecodingLimits(max_pixels=96 * 80)

    assert decode(png_bytes(), modality("knee_xray"), limits).width == 96
    with pytest.raises(TooManyPixelsError):
        decode(png_bytes(make_grey(97, 80)), modality("knee_xray"), limits)


@pytest.mark.parametrize("encode", [png_bytes, png16_bytes, jpeg_bytes, tiff_bytes, bmp_bytes])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.97])
def test_a_file_cut_short_is_refused_wherever_it_was_cut(
    encode: Callable[[], bytes], share: float
) -> None:
    with pytest.raises(DamagedImageError, match="damaged or incomplete"):
        decoded(truncated(encode(), share))


@pytest.mark.parametrize("encode", [png_bytes, jpeg_bytes, tiff_bytes, tiff16_bytes, bmp_bytes])
@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd headers; a server lets it
def test_flipped_bytes_never_cause_anything_but_an_upload_error(
    encode: Callable[[], bytes],
) -> None:
    check_spoilt_copies(encode(), copies=60, first=0, last=600)


def test_a_format_is_told_by_the_bytes_and_only_the_listed_ones_are_opened() -> None:
    buffer = io.BytesIO()
    Image.fromarray(grey8()).save(buffer, format="WEBP")

    with pytest.raises(UnsupportedFormatError):
        decoded(buffer.getvalue())
