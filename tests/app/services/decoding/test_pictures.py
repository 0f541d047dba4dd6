import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.detection.decoding import decode
from app.detection.spec import modality
from app.services.decoding.pictures import (
    GreyPixels,
    decoded,
    encoded,
    overlay,
    quantised,
    restored,
    thumbnail,
)
from tests.factories import dicom_bytes, jpeg_bytes, make_grey, png16_bytes, png_bytes


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png_bytes(), np.uint8),
        (png_bytes(mode="RGB"), np.uint8),
        (jpeg_bytes(), np.uint8),
        (png16_bytes(), np.uint16),
    ],
    ids=["png", "colour", "jpeg", "png16"],
)
def test_a_picture_is_kept_without_any_loss(data: bytes, kind: type) -> None:
    scan = decode(data, modality("knee_xray"))

    pixels = quantised(scan.grey)

    assert pixels.dtype == kind
    assert np.array_equal(restored(decoded(encoded(pixels))), scan.grey)


def test_a_dicom_slice_is_kept_to_the_nearest_of_65536_greys() -> None:
    scan = decode(dicom_bytes(), modality("lung_ct"))

    pixels = quantised(scan.grey)

    assert pixels.dtype == np.uint16
    assert np.abs(restored(pixels) - scan.grey).max() <= 0.5 / 65535 + 1e-7


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_grey_comes_back_as_decoding_the_file_gives_it(kind: type) -> None:
    full = np.iinfo(kind).max
    every: GreyPixels = np.resize(np.arange(full + 1, dtype=kind), (max(64, full // 255), 256))
    stored = encoded(every)

    scan = decode(stored, modality("knee_xray"))

    assert np.array_equal(restored(decoded(stored)), scan.grey)
    assert np.array_equal(quantised(scan.grey), every)


def test_the_kept_picture_has_no_metadata() -> None:
    with Image.open(io.BytesIO(encoded(quantised(make_grey())))) as image:
        assert image.info == {}


@pytest.mark.parametrize(
    ("scan_size", "small_size"),
    [((96, 80), (96, 80)), ((1000, 500), (112, 56)), ((64, 6000), (1, 112))],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnail_is_the_scan_made_small_and_never_larger(
    scan_size: tuple[int, int], small_size: tuple[int, int], kind: type
) -> None:
    width, height = scan_size
    full = np.iinfo(kind).max
    pixels: GreyPixels = np.full((height, width), full // 2, dtype=kind)
    pixels[:, : width // 2] = full

    small = decoded(thumbnail(pixels))

    assert small.dtype == np.uint8
    assert small.shape == small_size[::-1]
    if width > 64:
        assert (small[:, 0] == 255).all()
        assert (small[:, -1] == 127).all()


def painted(evidence: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(overlay(evidence, width, height))) as image:
        return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize(
    ("scan_size", "overlay_size"),
    [((96, 80), (96, 80)), ((4096, 2048), (1024, 512)), ((64, 6000), (11, 1024))],
)
def test_the_overlay_has_the_shape_of_the_scan(
    scan_size: tuple[int, int], overlay_size: tuple[int, int]
) -> None:
    pixels = painted(np.zeros((3, 4), np.float32), *scan_size)

    assert pixels.shape == (overlay_size[1], overlay_size[0], 4)


def test_where_there_is_no_evidence_the_overlay_is_transparent() -> None:
    evidence = np.zeros((12, 12), np.float32)
    evidence[6, 6] = 1

    opacity = painted(evidence, 240, 240)[..., 3]

    assert opacity[130, 130] > 150
    assert opacity.max() < 200  # the scan stays visible underneath
    far_away = np.ones_like(opacity, dtype=bool)
    far_away[100:160, 100:160] = False
    assert not opacity[far_away].any()


def test_stronger_evidence_is_darker_and_more_opaque() -> None:
    ramp = np.linspace(0.02, 1, 64, dtype=np.float32)[None].repeat(64, axis=0)

    row = painted(ramp, 64, 64)[32].astype(float)

    # Lightness alone tells the order, so it does not need to be told by hue.
    lightness = row[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) < 0).all()
    assert (np.diff(row[:, 3]) >= 0).all()
    assert lightness.min() > 60  # still stands off black
