"""The background of whole synthetic scans: as black as that of authentic ones.

Outside the scanned circle an authentic scan is exactly black. A network's output only comes close
to it, and a detector would learn that instead of the anatomy.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DARKEST_TISSUE = 12 / 255
"""Grey values up to this one that reach the border of the image are background."""


def with_black_background(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image whose nearly black regions at the border are black.

    Args:
        grey: Grey values in [0, 1], shape ``[H, W]``.
    """
    regions, _ = ndimage.label(grey <= DARKEST_TISSUE)
    rim = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    background = np.isin(regions, rim[rim > 0])
    return np.where(background, np.float32(0), grey)
