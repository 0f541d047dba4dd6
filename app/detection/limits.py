"""What a file may cost: bounds on bytes and pixels, checked before pixels are decoded."""

from dataclasses import dataclass

from app.errors import TooFewPixelsError, TooManyPixelsError

MIN_SIDE_PIXELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingLimits:
    """What a file may cost.

    Attributes:
        max_bytes: Largest file, in bytes.
        max_pixels: Largest image, in pixels, checked before anything is decoded.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 40_000_000

    def check_size(self, width: int, height: int) -> None:
        """Check the size that a header declares, in pixels.

        Raises:
            TooManyPixelsError: It decodes to more than ``max_pixels``.
            TooFewPixelsError: A side is shorter than ``MIN_SIDE_PIXELS``.
        """
        if width * height > self.max_pixels:
            raise TooManyPixelsError(width, height, self.max_pixels)
        if min(width, height) < MIN_SIDE_PIXELS:
            raise TooFewPixelsError(width, height, MIN_SIDE_PIXELS)
