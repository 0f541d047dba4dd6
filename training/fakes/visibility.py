"""How much a fake differs from the scan that it was made from."""

import numpy as np

from training.data.images import read_grey
from training.data.manifest import Scan

GREY_LEVELS = 255


def mean_change(fake: Scan) -> float:
    """Return the mean absolute change of a fake, within its mask where it has one.

    Args:
        fake: With an ``origin``; both images have one shape.

    Returns:
        In grey levels of 255; nothing below about one level survives in an 8-bit image.
    """
    change = np.abs(read_grey(fake.path) - read_grey(fake.origin)) * GREY_LEVELS
    if fake.mask:
        change = change[read_grey(fake.mask) > 0]
    return float(change.mean())


def is_visible(fake: Scan, least_change: float) -> bool:
    """Tell whether a fake differs enough from its origin to be one.

    Args:
        fake: Of any generator; one that was made from nothing always is.
        least_change: In grey levels of 255.
    """
    return not (least_change and fake.origin) or mean_change(fake) >= least_change
