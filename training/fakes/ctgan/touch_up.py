"""What CT-GAN does around its networks: equalising voxels, adding noise, blending the cube in.

Mirsky, Mahler, Shelef and Elovici, "CT-GAN: Malicious Tampering of 3D Medical Imagery using Deep
Learning", USENIX Security 2019, https://arxiv.org/abs/1901.03597, section 4.3 and the numbers of
their published program. Written here anew, in two dimensions. Everything is in Hounsfield units.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

Units = NDArray[np.float32]
Kernel = Literal["gaussian", "cone", "paraboloid"]

LEVELS = 1024
PARENCHYMA = -600.0  # what is darker is lung, whose spread is the scan's noise
AIRY = -800.0
SOLID = -700.0  # half of a voxel of this value belongs to the injected nodule
SOLID_WIDTH = 70.0
LEAST_SPREAD = 8.0


class Equaliser:
    """Histogram equalisation over all patches of a training, and its inverse.

    It spreads the many shades of lung over most of the painter's range and leaves little for
    solid tissue. So what the painter gets slightly wrong becomes strong grain within nodules.
    """

    def __init__(self) -> None:
        self.knots = np.linspace(-1000, 500, LEVELS, dtype=np.float32)

    def fit(self, patches: Units) -> None:
        """Learn the distribution of voxels, any shape."""
        self.knots = np.quantile(patches, np.linspace(0, 1, LEVELS)).astype(np.float32)

    def equalised(self, units: Units) -> Units:
        """Return values in [-0.5, 0.5]."""
        return (np.interp(units, self.knots, np.linspace(-0.5, 0.5, LEVELS))).astype(np.float32)

    def restored(self, values: Units) -> Units:
        """Return Hounsfield units for values, which are cut to [-0.5, 0.5]."""
        return np.interp(values, np.linspace(-0.5, 0.5, LEVELS), self.knots).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned."""
        return {"knots": torch.from_numpy(self.knots)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what had been learned."""
        self.knots = state_dict["knots"].numpy()


def resampled(units: Units, side: int) -> Units:
    """Scale a square by cubic splines, without smoothing it first, as CT-GAN does."""
    return ndimage.zoom(units, side / len(units), order=3, mode="nearest").astype(np.float32)


def spread_of_lung(units: Units) -> float:
    """Return the standard deviation of the lung in a region, its vessels' rims included."""
    lung = units[units < PARENCHYMA]
    return max(float(lung.std()), LEAST_SPREAD) if lung.size > 1 else LEAST_SPREAD


def interpolated_noise(side: int, strength: float, zoom: float, rng: np.random.Generator) -> Units:
    """Return normal noise that was scaled up, which leaves a fine mesh in it.

    Args:
        side: Of the square wanted, in pixels.
        strength: Standard deviation before scaling.
        zoom: By which it is scaled; 1 leaves it white.
        rng: Draws it.
    """
    coarse = rng.normal(0, strength, (int(np.ceil(side / zoom)) + 2,) * 2)
    return ndimage.zoom(coarse, zoom, order=3, mode="nearest")[:side, :side].astype(np.float32)


def copied_noise(elsewhere: Units) -> Units | None:
    """Return another place's noise: its airy voxels around their mean, the others evened out.

    None if little of it is airy.
    """
    airy = elsewhere < AIRY
    if airy.mean() < 0.3:
        return None
    mean = float(elsewhere[airy].mean())
    return np.where(airy, elsewhere - mean, 0).astype(np.float32)


def blending_weights(side: int, kernel: Kernel) -> Units:
    """Return weights that are 1 in the middle and fall towards the rim, ``[side, side]``."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    squares = axis[:, None] ** 2 + axis[None, :] ** 2
    if kernel == "cone":
        return np.clip(1 - np.sqrt(squares), 0, 1)
    if kernel == "paraboloid":
        return np.clip(1 - squares, 0, 1)
    # Three deviations to the rim; the published kernel is the root of a normal density.
    bell = np.exp(-squares * 9 / 4)
    least = bell[0, side // 2]  # 0 at the middle of each side, so that no square shows
    return np.clip((bell - least) / (1 - least), 0, 1).astype(np.float32)


def injected(painted: Units, noise: Units, original: Units, weights: Units) -> tuple[Units, Units]:
    """Blend an injected nodule in: only what is solid in it, and only where it is brighter.

    Returns:
        The edited region, and the weight that the painting has in each pixel.
    """
    solid = weights / (1 + np.exp(-(painted - SOLID) / SOLID_WIDTH))
    blended = (painted + noise) * solid + original * (1 - solid)
    return np.maximum(blended, original).astype(np.float32), solid.astype(np.float32)


def removed(painted: Units, noise: Units, original: Units, weights: Units) -> Units:
    """Blend the painted tissue over what stood there."""
    return ((painted + noise) * weights + original * (1 - weights)).astype(np.float32)
