"""Tests of the background of whole synthetic scans."""

import numpy as np
import pytest

from training.fakes.background import DARKEST_TISSUE, with_black_background


def test_nearly_black_regions_at_the_border_become_black() -> None:
    grey = np.full((8, 8), 0.5, dtype=np.float32)
    grey[0, 0] = grey[7, 3:6] = 0.02

    cleaned = with_black_background(grey)

    assert (cleaned == 0).sum() == 4
    assert cleaned.dtype == np.float32
    assert (cleaned[cleaned > 0] == 0.5).all()


def test_dark_places_within_the_body_are_left_alone() -> None:
    grey = np.full((8, 8), 0.5, dtype=np.float32)
    grey[3:5, 3:5] = 0.02

    np.testing.assert_array_equal(with_black_background(grey), grey)


@pytest.mark.parametrize("value", [DARKEST_TISSUE + 0.01, 1.0])
def test_an_image_without_background_is_left_alone(value: float) -> None:
    grey = np.full((8, 8), value, dtype=np.float32)

    np.testing.assert_array_equal(with_black_background(grey), grey)
