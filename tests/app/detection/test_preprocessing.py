import hashlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.detection.card import PreprocessingSpec
from app.detection.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PREPROCESSING_VERSION,
    normalise,
    preprocess,
    square_to_scan,
    to_square,
)
from tests.factories import make_grey

SPEC = PreprocessingSpec(
    image_size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD, version=PREPROCESSING_VERSION
)


def ramp(height: int, width: int) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:height, 0:width]
    grey: NDArray[np.float32] = (rows + 2 * columns) / np.float32(height + 2 * width)
    return grey.astype(np.float32)


def test_a_scan_of_the_networks_own_size_is_not_touched() -> None:
    grey = make_grey(64, 64)

    assert np.array_equal(to_square(grey, 64).numpy(), grey)


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"),
    [(200, 100, 16, 32), (100, 200, 32, 16), (150, 150, 32, 32), (20, 10, 16, 32), (900, 1, 1, 32)],
)
def test_the_aspect_ratio_is_kept_and_the_rest_is_black(
    width: int, height: int, rows: int, columns: int
) -> None:
    square = to_square(np.ones((height, width), np.float32), 32)

    top, left = (32 - rows) // 2, (32 - columns) // 2
    expected = torch.zeros(32, 32)
    expected[top : top + rows, left : left + columns] = 1
    assert square.shape == (32, 32)
    assert torch.allclose(square, expected, atol=1e-6)
    assert torch.equal(square == 0, expected == 0)


def test_grey_values_stay_within_their_range() -> None:
    checker = (np.indices((301, 203)).sum(0) % 2).astype(np.float32)

    square = to_square(checker, 64)

    assert square.min() >= 0
    assert square.max() <= 1


def test_shrinking_averages_instead_of_dropping_pixels() -> None:
    checker = (np.indices((256, 256)).sum(0) % 2).astype(np.float32)

    inner = to_square(checker, 32)[2:-2, 2:-2]

    assert torch.allclose(inner, torch.full_like(inner, 0.5), atol=0.01)


def test_the_scan_itself_is_not_changed() -> None:
    grey = make_grey(100, 90)
    before = grey.copy()

    preprocess(grey, SPEC)

    assert np.array_equal(grey, before)


def test_memory_of_any_layout_and_read_only_memory_are_accepted() -> None:
    grey = make_grey(100, 90)
    flipped = np.asfortranarray(grey[::-1])[::-1]
    flipped.setflags(write=False)

    assert torch.equal(preprocess(flipped, SPEC), preprocess(grey, SPEC))


def test_the_three_channels_are_the_grey_values_less_mean_over_std() -> None:
    square = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))

    channels = normalise(square, SPEC)

    assert channels.shape == (2, 3, 32, 32)
    for index in range(3):
        expected = (square - SPEC.mean[index]) / SPEC.std[index]
        assert torch.allclose(channels[:, index], expected)


def test_the_result_is_the_one_on_record() -> None:
    """Golden values: whoever changes them changes the meaning of all published weights."""
    tensor = preprocess(ramp(100, 150), SPEC)

    assert tensor.shape == (3, 32, 32)
    assert tensor.dtype == torch.float32
    picked = tensor[:, [0, 6, 16, 25, 31], [0, 3, 16, 31, 31]]
    expected = torch.tensor(
        [
            [-2.1179, -1.6977, 0.1523, 2.1404, -2.1179],
            [-2.0357, -1.6062, 0.2852, 2.3177, -2.0357],
            [-1.8044, -1.3768, 0.5061, 2.5296, -1.8044],
        ]
    )
    assert torch.allclose(picked, expected, atol=2e-4), picked


def test_a_scan_that_brightens_evenly_does_so_after_shrinking() -> None:
    """The centre of output pixel (r, c) lies at ((r + 1/2) 100 / 21 - 1/2, …) in the scan."""
    square = to_square(ramp(100, 150), 32)

    rows, columns = np.mgrid[2:19, 2:30]
    y, x = (rows + 0.5) * 100 / 21 - 0.5, (columns + 0.5) * 150 / 32 - 0.5
    expected = torch.from_numpy((y + 2 * x) / 400).float()
    assert torch.allclose(square[5 + 2 : 5 + 19, 2:30], expected, atol=2e-3)


def test_the_result_is_the_same_every_time() -> None:
    digests = {
        hashlib.sha256(preprocess(make_grey(130, 90), SPEC).numpy().tobytes()).hexdigest()
        for _ in range(3)
    }

    assert len(digests) == 1


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 32), (32, 64), (100, 70), (9, 64)])
def test_cutting_the_padding_off_undoes_it(height: int, width: int) -> None:
    square = to_square(np.ones((height, width), np.float32), 64).numpy()

    cut = square_to_scan(square, height, width)

    longest = max(height, width)
    assert cut.shape == (round(64 * height / longest), round(64 * width / longest))
    assert np.allclose(cut, 1, atol=1e-6)
    assert np.count_nonzero(cut) == np.count_nonzero(square)


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 50), (100, 100)])
def test_a_coarse_map_is_cut_to_the_cells_over_the_scan(height: int, width: int) -> None:
    cells = np.arange(256, dtype=np.float32).reshape(16, 16)

    cut = square_to_scan(cells, height, width, image_size=512)

    top, left = (16 - 16 * height // 100) // 2, (16 - 16 * width // 100) // 2
    assert np.array_equal(cut, cells[top : 16 - top, left : 16 - left])


@pytest.mark.parametrize(("height", "width"), [(77, 100), (100, 61), (340, 512), (97, 96)])
def test_what_a_coarse_map_shows_lies_where_it_is_in_the_scan(height: int, width: int) -> None:
    """A map that rises evenly over the input still does over the scan, from edge to edge."""
    side, cells = 512, 16
    centres = (np.arange(cells) + 0.5) * side / cells
    rows, columns = (grid.astype(np.float32) for grid in np.meshgrid(centres, centres))

    down = square_to_scan(columns, height, width, image_size=side)
    right = square_to_scan(rows, height, width, image_size=side)

    for seen, extent in ((down[:, 0], height), (right[0], width)):
        pixels = round(side * extent / max(height, width))
        first = (side - pixels) // 2
        expected = first + (np.arange(len(seen)) + 0.5) * pixels / len(seen)
        assert np.allclose(seen, np.clip(expected, centres[0], centres[-1]), atol=0.01)


def test_even_a_sliver_of_a_scan_keeps_a_row_of_cells() -> None:
    assert square_to_scan(np.zeros((16, 16), np.float32), 1, 1000).shape == (1, 16)
