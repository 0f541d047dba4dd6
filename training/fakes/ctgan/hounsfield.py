"""Hounsfield units of scans that were saved as grey values, from what is known of tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.fakes.sites import otsu_threshold

LUNG_HU = -850.0  # of lung tissue at inspiration, its median
SOFT_TISSUE_HU = 20.0  # of the chest wall and the mediastinum: muscle, fat and blood together
LEAST_CONTRAST = 0.05  # of grey values between the two; less is no chest CT


@dataclass(frozen=True, slots=True)
class Hounsfield:
    """A linear scale of grey values.

    Attributes:
        lung: Grey value of lung tissue.
        per_unit: Grey values that one Hounsfield unit takes.
    """

    lung: float
    per_unit: float

    @classmethod
    def of(cls, grey: NDArray[np.float32], lungs: NDArray[np.bool_]) -> "Hounsfield | None":
        """Estimate the scale of a chest CT; None if lung and soft tissue do not differ in it.

        Args:
            grey: float32 in [0, 1], shape ``[H, W]``, any linear window.
            lungs: Where the lungs are, as of ``training.fakes.sites.lung_mask``.
        """
        soft = ~lungs & (grey > otsu_threshold(grey))
        if not lungs.any() or not soft.any():
            return None
        lung, tissue = float(np.median(grey[lungs])), float(np.median(grey[soft]))
        if tissue - lung < LEAST_CONTRAST:
            return None
        return cls(lung, (tissue - lung) / (SOFT_TISSUE_HU - LUNG_HU))

    def units(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return Hounsfield units for grey values."""
        return ((grey - self.lung) / self.per_unit + LUNG_HU).astype(np.float32)

    def grey(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return grey values for Hounsfield units; they may leave [0, 1]."""
        return ((units - LUNG_HU) * self.per_unit + self.lung).astype(np.float32)
