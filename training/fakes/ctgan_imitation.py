"""CT-GAN's attack on the lung, step by step, on single slices.

Mirsky, Mahler, Shelef and Elovici, "CT-GAN: Malicious Tampering of 3D Medical Imagery using Deep
Learning", USENIX Security 2019, https://arxiv.org/abs/1901.03597. ``inpainting_gan`` keeps to
their idea; this generator keeps to their program, whose every step leaves a trace:

1. the region is scaled to voxels of 1 mm and equalised, its middle 20 of 32 voxels blanked;
2. a network paints the whole region: a nodule (injection) or plain lung (removal);
3. the region is scaled back, together with what surrounds it;
4. noise is added: scaled normal noise, or a copy of another place's;
5. of an injection only what is solid stays, and only where it is brighter than the scan; a
   removal is blended over it, most in the middle, over 1.3 times the region.

What differs: two dimensions in place of three, since single slices are at hand; the pixels' size
is drawn; nodules are drawn as well (``training.fakes.ctgan.nodules``), since prepared scans come
without annotations; and an edit is painted by one of several snapshots of the network's training,
so that detectors do not learn a single network's hand.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.images import read_grey
from training.fakes.base import Fake, Generator, changes_enough, register
from training.fakes.ctgan.hounsfield import Hounsfield
from training.fakes.ctgan.lessons import cube_of, drawn_nodule, lesson, sketched, window_side
from training.fakes.ctgan.painters import (
    CUBE_SIDE,
    Apprenticeship,
    CubePainter,
    Lessons,
    condition,
)
from training.fakes.ctgan.places import (
    KINDS_OF_EDIT,
    KINDS_OF_LESSON,
    Place,
    choose_place,
    pools,
)
from training.fakes.ctgan.touch_up import (
    Equaliser,
    Kernel,
    Units,
    blending_weights,
    copied_noise,
    injected,
    interpolated_noise,
    removed,
    resampled,
    spread_of_lung,
)
from training.fakes.sites import Points, lung_mask
from training.fakes.steps import Training
from training.seeding import generator_for

TAMPERS = ("injection", "removal")
ATTEMPTS = 12
LEAST_HU, GREATEST_HU = -1000.0, 2000.0
COPIED = 0.2  # share of the edits whose noise is copied
REMOVAL_NOISE_HU = (22.0, 42.0)
KERNELS: dict[Kernel, float] = {"gaussian": 0.5, "cone": 0.4, "paraboloid": 0.1}


@register("ctgan_imitation")
class CTGANImitation(Generator):
    """Nodules injected into and removed from slices of the lung.

    Args:
        spacings: Least and greatest size of a pixel, in mm; a painted region has 32 mm.
        patches_per_scan: Patches that each training scan gives to each network.
        width: Channels of the networks' first layers.
        steps: Optimiser steps of each network.
        snapshot_every: Steps from one painter that is used to the next.
        batch_size: Patches a step.
    """

    edits_originals = True

    def __init__(
        self,
        *,
        spacings: Sequence[float] = (0.55, 0.9),
        patches_per_scan: int = 10,
        width: int = 24,
        steps: int = 1000,
        snapshot_every: int = 250,
        batch_size: int = 32,
    ) -> None:
        least, greatest = spacings
        if not 0.2 <= least <= greatest:
            raise ValueError(f"spacings must be two, from 0.2 mm upwards, got {list(spacings)}")
        if steps < 1 or snapshot_every < 1:
            raise ValueError("steps and snapshot_every must be 1 or greater")
        self.sides = round(CUBE_SIDE / greatest), round(CUBE_SIDE / least)
        self.patches_per_scan, self.width = patches_per_scan, width
        self.steps, self.batch_size = steps, batch_size
        self.snapshot_every = min(snapshot_every, steps)
        self.equalisers = {tamper: Equaliser() for tamper in TAMPERS}
        self.painters: dict[str, list[CubePainter]] = {}

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Train the two painters; see ``Generator.fit``."""
        for tamper in TAMPERS:
            apprentice = Apprenticeship(self.width, seed=seed)
            equaliser = self.equalisers[tamper]
            training = Training(
                title=tamper,
                folder=folder / tamper,
                parts={**apprentice.parts, "equaliser": equaliser},
                steps=self.steps,
                seed=seed,
                save_every=self.snapshot_every,
            )
            remaining = training.resume()
            if remaining:
                lessons = self._lessons(scans, tamper, seed)
            for number, rng in zip(remaining, training.beat(remaining), strict=True):
                apprentice.step(*lessons.some(self.batch_size, rng))
                if (number + 1) % self.snapshot_every == 0:
                    apprentice.snapshots.take(apprentice.painter)
            self.painters[tamper] = apprentice.snapshots.painters(self.width)

    def _lessons(self, scans: Sequence[Path], tamper: str, seed: int) -> Lessons:
        patches, sketches = [], []
        for path in tqdm(scans, desc=f"cutting patches ({tamper})", unit="scan", leave=False):
            grey = read_grey(path)
            lungs = lung_mask(grey)
            scale = Hounsfield.of(grey, lungs)
            if scale is None:
                continue
            rng = generator_for("lesson", tamper, seed, path.name)
            offered = pools(grey, lungs)
            for _ in range(self.patches_per_scan):
                place = choose_place(offered, KINDS_OF_LESSON[tamper], self.sides, grey.shape, rng)
                if place is not None:
                    units = resampled(scale.units(grey[place.window]), window_side())
                    patch, sketch = lesson(cube_of(units), tamper, rng)
                    patches.append(patch)
                    sketches.append(sketch)
        equaliser = self.equalisers[tamper]
        equaliser.fit(np.stack(patches))
        equalised = equaliser.equalised(np.stack(patches))
        return Lessons(
            patches=torch.from_numpy(equalised)[:, None],
            sketches=torch.from_numpy(np.stack(sketches))[:, None],
        )

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Edit one place of an authentic slice; None if it offers none."""
        if original is None:
            raise ValueError("a local edit needs an authentic scan")
        rng = generator_for("ctgan imitation", seed)
        tamper = str(rng.choice(TAMPERS))
        lungs = lung_mask(original)
        scale = Hounsfield.of(original, lungs)
        if scale is None:
            return None
        offered = pools(original, lungs)
        for _ in range(ATTEMPTS):
            place = choose_place(offered, KINDS_OF_EDIT[tamper], self.sides, original.shape, rng)
            if place is None:
                continue
            noise = self._noise(scale, original, offered["plain"], place, tamper, rng)
            units, share = self._edit(scale.units(original[place.window]), noise, tamper, rng)
            fake = _fake(original, place, scale.grey(units), share, tamper)
            if changes_enough(fake, original):
                return fake
        return None

    def _noise(
        self,
        scale: Hounsfield,
        original: NDArray[np.float32],
        plain: Points,
        place: Place,
        tamper: str,
        rng: np.random.Generator,
    ) -> Units:
        if (
            rng.random() < COPIED
            and (copied := _copied(scale, original, plain, place, rng)) is not None
        ):
            return copied
        spread = spread_of_lung(scale.units(original[place.window]))
        if tamper == "injection":
            return interpolated_noise(
                place.side, spread * rng.uniform(0.5, 1.0), rng.uniform(1.2, 2.0), rng
            )
        return interpolated_noise(
            place.side, rng.uniform(*REMOVAL_NOISE_HU), rng.uniform(0.8, 1.2), rng
        )

    @torch.no_grad()
    def _edit(
        self, original: Units, noise: Units, tamper: str, rng: np.random.Generator
    ) -> tuple[Units, Units]:
        """Paint a window; return it in Hounsfield units, and the painting's share of each pixel."""
        side, equaliser = len(original), self.equalisers[tamper]
        painters = self.painters[tamper]
        painter = painters[int(rng.integers(len(painters)))]
        sketch = np.zeros((CUBE_SIDE, CUBE_SIDE), dtype=np.float32)
        if tamper == "injection":
            shares, level = drawn_nodule(rng)
            sketch = sketched(shares, level)
        voxels = resampled(original, window_side())
        patch = equaliser.equalised(cube_of(voxels))
        painted = painter(condition(*(torch.from_numpy(p)[None, None] for p in (patch, sketch))))
        cube_of(voxels)[:] = equaliser.restored(painted[0, 0].numpy())
        painted_units = resampled(np.clip(voxels, LEAST_HU, GREATEST_HU), side)
        kernel = rng.choice(list(KERNELS), p=list(KERNELS.values()))
        weights = blending_weights(side, kernel)
        if tamper == "injection":
            return injected(painted_units, noise, original, blending_weights(side, "gaussian"))
        return removed(painted_units, noise, original, weights), weights


def _copied(
    scale: Hounsfield,
    original: NDArray[np.float32],
    plain: Points,
    place: Place,
    rng: np.random.Generator,
) -> Units | None:
    """Return another place's noise, None if it has none to give."""
    if len(plain) == 0:
        return None
    row, column = plain[rng.integers(len(plain))]
    region = original[Place(int(row), int(column), place.cube_side).window]
    whole = region.shape == (place.side, place.side)
    return copied_noise(scale.units(region)) if whole else None


def _fake(
    original: NDArray[np.float32],
    place: Place,
    edited: NDArray[np.float32],
    share: Units,
    tamper: str,
) -> Fake:
    grey = original.copy()
    # What the painting has no share in stays as it was, to the last digit.
    grey[place.window] = np.where(share > 0, np.clip(edited, 0, 1), original[place.window])
    mask = np.zeros(original.shape, dtype=bool)
    mask[place.window] = share > 0.4
    return Fake(grey=grey, mask=mask, tamper=tamper, center=(place.column, place.row))
