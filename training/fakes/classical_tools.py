"""A photo editor's tools at work on one place of a scan, by a careful or a hasty hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from training.fakes.retouching import (
    Grey,
    Region,
    Turn,
    copied,
    grain_of,
    pasted,
    seamless,
    telea,
)
from training.fakes.sites import Points

SOURCES = 16  # that a careful forger compares before copying one


class Donors:
    """Findings of training scans, kept in 8 bits; a part of the generator's checkpoint."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._patches: list[Tensor] = []

    def add(self, patch: Grey) -> None:
        """Keep one: float32 in [0, 1], ``[side, side]``."""
        self._patches.append(torch.from_numpy(np.round(patch * 255).astype(np.uint8)))

    def some(self, count: int, rng: np.random.Generator) -> list[Grey]:
        """Draw ``count`` of them, float32 in [0, 1]; none if there are none."""
        if not self._patches:
            return []
        drawn = rng.integers(len(self._patches), size=count)
        return [self._patches[i].numpy().astype(np.float32) / np.float32(255) for i in drawn]

    def state_dict(self) -> dict[str, Any]:
        """Return all of them."""
        return {"patches": list(self._patches)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over those of a checkpoint."""
        self._patches = list(state_dict["patches"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A place that is about to be edited.

    Attributes:
        original: The whole scan.
        place: Row and column of the edit.
        region: What is edited of the window around the place.
        sources: Rows and columns of what may be copied.
        plain: Those of even tissue.
        turned: Draws how a copy is turned and scaled.
        careful: Whether the forger looks for what fits.
        donors: Findings of other scans.
        rng: Draws everything else.
    """

    original: Grey
    place: tuple[int, int]
    region: Region
    sources: Points
    plain: Points
    turned: Callable[[], Turn]
    careful: bool
    donors: Donors
    rng: np.random.Generator

    @property
    def side(self) -> int:
        """Side of the window, in pixels."""
        return len(self.region)

    @property
    def window(self) -> tuple[slice, slice]:
        """The window within the scan."""
        return window_at(self.place, self.side)

    @property
    def target(self) -> Grey:
        """The window as it was."""
        return self.original[self.window]

    def fitting(self, parts: Sequence[Grey]) -> Grey | None:
        """Return the part that fits best around the region, whatever its brightness.

        A hasty forger takes the first.
        """
        if not parts or not self.careful:
            return parts[0] if parts else None
        rim = rim_of(self.region)
        return min(parts, key=lambda part: float((part - self.target)[rim].std()))

    def some(self, points: Points) -> list[tuple[int, int]]:
        """Draw some of the points."""
        if len(points) == 0:
            return []
        drawn = points[self.rng.integers(len(points), size=SOURCES)]
        return [(int(row), int(column)) for row, column in drawn]


def _copy_move(scene: Scene) -> Grey | None:
    places = scene.some(scene.sources)
    part = scene.fitting([copied(scene.original, p, scene.side, scene.turned()) for p in places])
    if part is None:
        return None
    rim = rim_of(scene.region)
    if scene.careful:
        part = part + float((scene.target - part)[rim].mean())
    feather = float(scene.rng.choice([1.0, 2.0, 4.0] if scene.careful else [0.0, 1.0]))
    return pasted(np.clip(part, 0, 1), scene.target, scene.region, feather=feather)


def _splice(scene: Scene) -> Grey | None:
    donors, middle = scene.donors.some(SOURCES, scene.rng), scene.donors.side // 2
    part = scene.fitting([copied(d, (middle, middle), scene.side, scene.turned()) for d in donors])
    if part is None:
        return None
    mixed = bool(scene.rng.random() < 0.5)
    return seamless(part, scene.target, scene.region, mixed=mixed)


def _healing(scene: Scene) -> Grey | None:
    places = scene.some(scene.sources)
    part = scene.fitting([scene.original[window_at(place, scene.side)] for place in places])
    return None if part is None else seamless(part, scene.target, scene.region, mixed=False)


def _inpainting(scene: Scene) -> Grey:
    filled = telea(scene.target, scene.region, radius=int(scene.rng.integers(3, 6)))
    places = scene.some(scene.plain)
    if not places or scene.rng.random() < 0.4:
        return filled
    grain = grain_of(scene.original[window_at(places[0], scene.side)])
    strength = float(scene.rng.uniform(0.4, 1.0))
    return np.where(scene.region, filled + strength * grain, filled).astype(np.float32)


TOOLS: Mapping[str, Callable[[Scene], Grey | None]] = {
    "copy_move": _copy_move,
    "splice": _splice,
    "healing": _healing,
    "inpainting": _inpainting,
}


def window_at(place: tuple[int, int], side: int) -> tuple[slice, slice]:
    """Return the window of ``side`` around a place (row, column)."""
    top, left = place[0] - side // 2, place[1] - side // 2
    return slice(top, top + side), slice(left, left + side)


def rim_of(region: Region) -> Region:
    """Return the pixels just outside a region."""
    return ndimage.binary_dilation(region, iterations=2) & ~region
