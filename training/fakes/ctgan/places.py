"""Where the imitation of CT-GAN learns and edits: on spots, in plain lung, near its rim."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.fakes.ctgan.lessons import SURROUNDED
from training.fakes.sites import Points, sites_within

MARGIN_DEPTH = 2, 12  # pixels from the lung's rim, where many nodules grow
KINDS_OF_LESSON: Mapping[str, Mapping[str, float]] = {
    "injection": {"plain": 0.7, "structures": 0.1, "margins": 0.2},
    "removal": {"plain": 0.65, "structures": 0.0, "margins": 0.35},
}
"""Shares of the places that the painter of each kind of edit learns from."""
KINDS_OF_EDIT: Mapping[str, Mapping[str, float]] = {
    "injection": {"plain": 0.7, "structures": 0.1, "margins": 0.2},
    "removal": {"plain": 0.2, "structures": 0.5, "margins": 0.3},
}
"""Shares of the places that are edited."""


@dataclass(frozen=True, slots=True)
class Place:
    """A region to edit: its middle in pixels, and how many pixels its cube has."""

    row: int
    column: int
    cube_side: int

    @property
    def side(self) -> int:
        """Of the window: the cube and what surrounds it, in pixels."""
        return round(SURROUNDED * self.cube_side)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the window."""
        top, left = self.row - self.side // 2, self.column - self.side // 2
        return slice(top, top + self.side), slice(left, left + self.side)


def pools(grey: NDArray[np.float32], lungs: NDArray[np.bool_]) -> dict[str, Points]:
    """Return the places that a slice offers, by kind."""
    sites = sites_within(lungs, grey)
    depth = ndimage.distance_transform_edt(lungs)
    margins = np.argwhere((depth >= MARGIN_DEPTH[0]) & (depth <= MARGIN_DEPTH[1]))
    return {"structures": sites.structures, "plain": sites.plain, "margins": margins}


def choose_place(
    offered: Mapping[str, Points],
    kinds: Mapping[str, float],
    sides: tuple[int, int],
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> Place | None:
    """Draw a place; None if the kind that was drawn has none far enough from the edge.

    Args:
        offered: Of ``pools``.
        kinds: How often each kind is drawn.
        sides: Least and greatest side of a cube, in pixels.
        shape: Of the slice.
        rng: Draws everything.
    """
    cube_side = int(rng.integers(sides[0], sides[1] + 1))
    reach = round(SURROUNDED * cube_side) // 2 + 1
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    points = offered[kind]
    inside = points[((points >= reach) & (points < np.array(shape) - reach)).all(axis=1)]
    if len(inside) == 0:
        return None
    row, column = inside[rng.integers(len(inside))]
    return Place(int(row), int(column), cube_side)
