import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.lab import make_lung
from training.gate.drawn import COARSE_SCAN, DRAWINGS, LOOKALIKES, draw
from training.gate.images import SIDE_PIXELS
from training.gate.vary import vary
from training.seeding import generator_for

PICTURES: NDArray[np.uint8] = np.stack(
    [np.round(make_lung(seed, SIDE_PIXELS) * 255).astype(np.uint8) for seed in range(3)]
)


@pytest.mark.parametrize("name", [*DRAWINGS, *LOOKALIKES, COARSE_SCAN])
def test_a_drawing_is_a_thumbnail_that_depends_on_its_seed_alone(name: str) -> None:
    first, again, other = (
        draw(name, generator_for(name, seed), PICTURES) for seed in ("a", "a", "b")
    )

    assert first.shape == (SIDE_PIXELS, SIDE_PIXELS)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", DRAWINGS)
def test_what_somebody_might_send_can_be_drawn_many_times(name: str) -> None:
    for seed in range(25):
        draw(name, generator_for(seed), PICTURES[:0])


def test_a_scan_in_pieces_has_the_pixels_of_the_scan_in_other_places() -> None:
    pieces = draw("scan_in_pieces", generator_for(1), PICTURES[:1])

    assert np.array_equal(np.sort(pieces, axis=None), np.sort(PICTURES[0], axis=None))
    assert not np.array_equal(pieces, PICTURES[0])


def test_a_filled_scan_has_its_outline_and_no_dark_lungs() -> None:
    rows, columns = np.mgrid[-1 : 1 : SIDE_PIXELS * 1j, -1 : 1 : SIDE_PIXELS * 1j]
    lungs = (np.abs(columns) - 0.4) ** 2 / 0.08 + rows**2 / 0.25 < 1
    body = columns**2 / 0.9 + rows**2 / 0.7 < 1
    scan = (255 * np.where(lungs, 0.1, np.where(body, 0.8, 0))).astype(np.uint8)

    filled = [draw("filled_scan", generator_for(seed), scan[None]) for seed in range(6)]

    in_body_window = [f for f in filled if f[body & ~lungs].mean() == pytest.approx(204, abs=8)]
    assert in_body_window
    for picture in in_body_window:
        assert picture[lungs].mean() > 130
        assert picture[~body].mean() < 10


def test_a_coarse_scan_has_the_forms_of_the_scan_and_not_its_pixels() -> None:
    coarse = draw(COARSE_SCAN, generator_for(1), PICTURES[:1])

    assert np.corrcoef(coarse.ravel(), PICTURES[0].ravel())[0, 1] > 0.8
    assert not np.array_equal(coarse, PICTURES[0])


def test_a_variation_is_a_thumbnail_that_depends_on_its_seed_alone() -> None:
    before = PICTURES[0].copy()
    first, again, other = (vary(PICTURES[0], generator_for(seed)) for seed in (1, 1, 2))

    assert first.shape == PICTURES[0].shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(PICTURES[0], before)
