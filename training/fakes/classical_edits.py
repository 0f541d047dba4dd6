"""What a person with a photo editor does to a scan: nothing here is learned.

Four of an editor's tools, each a kind of tampering of its own in the index:

- ``copy_move``: a part of the same scan, turned and scaled, laid over another place;
- ``splice``: a finding of another training scan, blended in (Pérez, Gangnet and Blake 2003);
- ``healing``: a structure covered by even tissue of the same scan, blended in (the healing brush:
  Georgiev, "Photoshop Healing Brush: a Tool for Seamless Cloning", ECCV workshop 2004);
- ``inpainting``: a structure filled in from its surroundings (Telea 2004), with or without the
  grain of the scan.

All of it is written here after the papers, so it stands under this project's licence.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from training.data.images import read_grey
from training.fakes.base import Fake, Generator, register
from training.fakes.checkpoints import load_checkpoint, save_checkpoint
from training.fakes.classical_tools import TOOLS, Donors, Scene, rim_of, window_at
from training.fakes.retouching import Grey, Turn, blob
from training.fakes.sites import SITE_FINDERS, Points, Sites
from training.seeding import generator_for

DONOR_REACH = 1.6  # side of a donor over the greatest edit: room for turning it
ATTEMPTS = 12
VISIBLE = 0.06  # of grey values: an edit that changes less everywhere is none
PLACES = 6  # that a careful forger compares before editing one
HASTE = 0.25  # share of the edits made without comparing
FILL = 0.6  # size of what is filled in over that of what is copied
MIN_SIDE = 8
MAX_DEGREES = 40.0  # that a copy is turned, either way
MARGIN_DEGREES = 15.0  # where it has to continue a margin
HIDING = ("healing", "inpainting")
HIDDEN_BY_COPIES = 0.3  # share of the copies that cover a structure instead of adding one
MARGIN = 3  # pixels of the scan left around an edit within its window


@register("classical_edits")
class ClassicalEdits(Generator):
    """Copying, blending and filling at places that a forger would choose.

    Args:
        sites: ``lung`` or ``knee``: how places for edits are found.
        min_side: Least side of an edit, in pixels of the scan.
        max_side: Greatest side of it.
        donors_per_scan: Findings that each training scan gives to be spliced into others.
        margins: Share of the edits that change a structure by another part of one, as along the
            margin of a bone, in [0, 1].
        kinds: Tools to draw from.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        sites: str,
        min_side: int = 18,
        max_side: int = 46,
        donors_per_scan: int = 2,
        margins: float = 0.0,
        kinds: Sequence[str] = tuple(TOOLS),
    ) -> None:
        if sites not in SITE_FINDERS:
            raise ValueError(f"sites must be one of {', '.join(SITE_FINDERS)}, got {sites!r}")
        if not kinds or not set(kinds) <= set(TOOLS):
            raise ValueError(f"kinds must be among {', '.join(TOOLS)}, got {list(kinds)}")
        if not MIN_SIDE <= min_side <= max_side:
            raise ValueError(
                f"{MIN_SIDE} ≤ min_side ≤ max_side is needed, got {min_side} and {max_side}"
            )
        if not 0 <= margins <= 1:
            raise ValueError(f"margins must lie in [0, 1], got {margins}")
        self.find_sites = SITE_FINDERS[sites]
        self.min_side, self.max_side = min_side, max_side
        self.donors_per_scan, self.margins, self.kinds = donors_per_scan, margins, tuple(kinds)
        self.donors = Donors(round(max_side * DONOR_REACH))

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Cut the findings that are spliced into other scans; see ``Generator.fit``."""
        parts = {"donors": self.donors}
        for turn in range(load_checkpoint(folder, parts), self.donors_per_scan):
            for path in tqdm(scans, desc=f"cutting donors, turn {turn + 1}", unit="scan"):
                grey = read_grey(path)
                points = _far_from_rim(
                    self.find_sites(grey).structures, grey.shape, self.donors.side
                )
                if len(points):
                    rng = generator_for("donor", seed, turn, path.name)
                    row, column = points[rng.integers(len(points))]
                    self.donors.add(grey[window_at((row, column), self.donors.side)])
            save_checkpoint(folder, parts, turn + 1)

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Edit one place of an authentic scan; None if it offers none."""
        if original is None:
            raise ValueError("a local edit needs an authentic scan")
        rng = generator_for("classical edit", seed)
        sites = self.find_sites(original)
        kind = str(rng.choice(self.kinds))
        for _ in range(ATTEMPTS):
            scene = self._scene(original, sites, kind, rng)
            edited = TOOLS[kind](scene) if scene is not None else None
            if scene is None or edited is None:
                continue
            change = np.where(scene.region, edited - scene.target, 0)
            if np.abs(ndimage.gaussian_filter(change, 1.0)).max() >= VISIBLE:
                return _fake(scene, edited, kind)
        return None

    def _scene(
        self, original: Grey, sites: Sites, kind: str, rng: np.random.Generator
    ) -> Scene | None:
        size = FILL if kind == "inpainting" else 1.0
        least, most = (max(MIN_SIDE, round(size * side)) for side in (self.min_side, self.max_side))
        region = np.pad(blob(int(rng.integers(least, most + 1)), rng), MARGIN)
        side, careful = len(region), bool(rng.random() >= HASTE)
        margin = bool(rng.random() < self.margins)
        hides = kind in HIDING or (kind == "copy_move" and bool(rng.random() < HIDDEN_BY_COPIES))
        places = _far_from_rim(
            sites.structures if margin or hides else sites.plain, original.shape, side
        )
        if len(places) == 0:
            return None
        drawn = places[rng.integers(len(places), size=PLACES)]
        # Around an even place no edge of an organ is cut; a margin is an edge itself.
        spreads = [original[window_at(p, side)][rim_of(region)].std() for p in drawn]
        row, column = drawn[int(np.argmin(spreads)) if careful and not margin else 0]
        place = int(row), int(column)
        plain = _apart(_far_from_rim(sites.plain, original.shape, side), place, side)
        structures = _apart(_far_from_rim(sites.structures, original.shape, side), place, side)
        return Scene(
            original=original,
            place=place,
            region=region,
            sources=plain if hides and not margin else structures,
            plain=plain,
            turned=lambda: _turn(rng, MARGIN_DEGREES if margin else MAX_DEGREES),
            careful=careful,
            donors=self.donors,
            rng=rng,
        )


def _turn(rng: np.random.Generator, most: float) -> Turn:
    return Turn(
        degrees=float(rng.uniform(-most, most)),
        scale=float(rng.uniform(0.8, 1.25)),
        mirrored=bool(rng.random() < 0.3),
    )


def _fake(scene: Scene, edited: Grey, kind: str) -> Fake:
    grey = scene.original.copy()
    grey[scene.window] = np.where(scene.region, np.clip(edited, 0, 1), scene.target)
    mask = np.zeros(grey.shape, dtype=bool)
    mask[scene.window] = scene.region
    rows, columns = np.nonzero(mask)
    center = round(float(columns.mean())), round(float(rows.mean()))
    return Fake(grey=grey, mask=mask, tamper=kind, center=center)


def _far_from_rim(points: Points, shape: tuple[int, ...], side: int) -> Points:
    """Return the points around which a window of ``side`` lies within the scan."""
    reach = side // 2 + 1
    return points[((points >= reach) & (points < np.array(shape) - reach)).all(axis=1)]


def _apart(points: Points, place: tuple[int, int], side: int) -> Points:
    """Return the points whose windows do not meet the one around ``place``."""
    return points[(np.abs(points - np.array(place)) > side).any(axis=1)]
