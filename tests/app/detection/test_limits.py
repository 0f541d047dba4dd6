import pytest

from app.detection.limits import MIN_SIDE_PIXELS, DecodingLimits
from app.errors import TooFewPixelsError, TooManyPixelsError


def test_the_largest_and_the_smallest_image_are_accepted() -> None:
    limits = DecodingLimits(max_pixels=100 * 100)

    limits.check_size(100, 100)
    limits.check_size(MIN_SIDE_PIXELS, MIN_SIDE_PIXELS)


@pytest.mark.parametrize("size", [(101, 100), (100, 101), (10**9, 10**9)])
def test_one_row_or_column_more_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(TooManyPixelsError):
        DecodingLimits(max_pixels=100 * 100).check_size(*size)


@pytest.mark.parametrize("size", [(MIN_SIDE_PIXELS - 1, 90), (90, MIN_SIDE_PIXELS - 1), (0, 0)])
def test_a_side_that_is_too_short_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(TooFewPixelsError):
        DecodingLimits().check_size(*size)
