"""Small files that would cost a decoder hours or gigabytes, and the ordinary ones beside them."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from app.detection.codestreams import MAX_JPEG_SCANS, check_jpeg, check_jpeg2000, check_rle
from app.detection.decoding import decode
from app.detection.spec import modality
from app.errors import DamagedImageError, MultiFrameError, UploadError
from tests.dicom_files import make_dicom, save_dicom
from tests.factories import dicom_bytes, grey8, jpeg_bytes, make_grey, picture_bytes

LUNG = modality("lung_ct")
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
COD = b"\xff\x52"
SOT = b"\xff\x90"


def progressive_jpeg(more_scans: int = 0) -> bytes:
    """Encode a scan progressively, its last pass repeated."""
    data = picture_bytes(Image.fromarray(grey8()), "JPEG", progressive=True)
    last_scan = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last_scan * more_scans + data[-2:]


def jpeg2000(**options: object) -> bytes:
    return picture_bytes(
        Image.fromarray(grey8(make_grey(640, 640))), "JPEG2000", no_jp2=True, **options
    )


def with_layers(codestream: bytes, layers: int) -> bytes:
    at = codestream.find(COD) + 6
    return codestream[:at] + struct.pack(">H", layers) + codestream[at + 2 :]


def as_dicom(frame: bytes, transfer_syntax: str, side: int = 640) -> bytes:
    stored = np.zeros((side, side), np.uint8)
    return save_dicom(make_dicom(stored), transfer_syntax, frame=frame)


# --- JPEG -----------------------------------------------------------------------------------


def test_ordinary_jpegs_pass() -> None:
    for data in (jpeg_bytes(), jpeg_bytes(mode="CMYK"), progressive_jpeg()):
        check_jpeg(data)
        decode(data, LUNG)


def test_what_follows_the_image_is_not_counted() -> None:
    check_jpeg(jpeg_bytes() + b"\xff\xda" * 1000)


def test_a_jpeg_with_endless_passes_is_refused_also_inside_a_dicom_file() -> None:
    bomb = progressive_jpeg(MAX_JPEG_SCANS)

    for data in (bomb, as_dicom(bomb, JPEG_BASELINE)):
        with pytest.raises(DamagedImageError):
            decode(data, LUNG)


# --- RLE ------------------------------------------------------------------------------------


def test_an_rle_frame_that_holds_far_more_than_its_image_is_refused() -> None:
    runs = b"\x81\x00" * 100_000  # 12.8 million zeros
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + runs

    with pytest.raises(DamagedImageError):
        decode(as_dicom(frame, RLE, side=64), LUNG)


@pytest.mark.parametrize("frame", [b"", b"\x01", struct.pack("<16I", 99, *[64] * 15)])
def test_an_rle_frame_without_a_proper_header_is_damaged(frame: bytes) -> None:
    with pytest.raises(DamagedImageError):
        check_rle(frame, 64 * 64)


def test_an_ordinary_rle_frame_passes() -> None:
    decode(dicom_bytes(transfer_syntax="rle"), LUNG)


# --- JPEG 2000 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile_size": (64, 64)},
        {"precinct_size": (128, 128), "codeblock_size": (32, 32)},
        {"quality_mode": "rates", "quality_layers": [40, 20, 10, 1]},
    ],
)
def test_ordinary_jpeg_2000_passes(options: dict[str, object]) -> None:
    decode(as_dicom(jpeg2000(**options), JPEG2000_LOSSLESS), LUNG)


def test_a_jpeg_2000_cut_into_endless_pieces_is_refused() -> None:
    bomb = with_layers(jpeg2000(tile_size=(64, 64)), 65_535)

    with pytest.raises(DamagedImageError):
        decode(as_dicom(bomb, JPEG2000_LOSSLESS), LUNG)


def test_the_header_of_a_tile_counts_as_well() -> None:
    codestream = jpeg2000(tile_size=(64, 64))
    start = codestream.find(COD)
    style = codestream[start : start + 2 + struct.unpack_from(">H", codestream, start + 2)[0]]
    tile = codestream.find(SOT)
    length = struct.unpack_from(">I", codestream, tile + 6)[0] + len(style)
    changed = (
        codestream[: tile + 6]
        + struct.pack(">I", length)
        + codestream[tile + 10 : tile + 12]
        + with_layers(style, 65_535)
        + codestream[tile + 12 :]
    )

    with pytest.raises(DamagedImageError):
        check_jpeg2000(changed)


def boxed_jpeg2000() -> bytes:
    return picture_bytes(Image.fromarray(grey8(make_grey(640, 640))), "JPEG2000")


def test_a_jpeg_2000_in_boxes_is_read() -> None:
    decode(as_dicom(boxed_jpeg2000(), JPEG2000_LOSSLESS), LUNG)


def test_boxes_that_lead_nowhere_are_refused() -> None:
    boxes = boxed_jpeg2000()

    with pytest.raises(DamagedImageError):
        decode(as_dicom(boxes[:12] + bytes(4) + boxes[16:], JPEG2000_LOSSLESS), LUNG)


@pytest.mark.parametrize("length", [4, 20, 44, 50])
def test_a_jpeg_2000_that_ends_in_its_header_is_refused(length: int) -> None:
    with pytest.raises(UploadError):
        decode(as_dicom(jpeg2000()[:length], JPEG2000_LOSSLESS), LUNG)


# --- TIFF -----------------------------------------------------------------------------------


def test_a_tiff_with_an_endless_chain_of_images_is_refused_quickly() -> None:
    tags = [
        *[(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)],
        *[(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 64), (279, 4, 1, 4096)],
    ]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    first, size, images = 8 + 4096, len(body) + 4, 50_000
    file = io.BytesIO()
    file.write(b"II*\0" + struct.pack("<I", first) + bytes(4096))
    for number in range(1, images + 1):
        file.write(body + struct.pack("<I", first + number * size if number < images else 0))
    started_s = time.thread_time()

    with pytest.raises(MultiFrameError):
        decode(file.getvalue(), LUNG)

    assert time.thread_time() - started_s < 5
