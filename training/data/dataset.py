"""How a detector is fed: a fake and an authentic partner side by side, varied alike."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from app.detection.card import PreprocessingSpec
from app.detection.labels import Label
from app.detection.preprocessing import normalise, to_square
from training.config import AugmentationConfig, PhaseConfig
from training.data.augment import Placement, resampled, vary_appearance
from training.data.images import read_grey, scaled_to
from training.data.manifest import Scan
from training.data.overprint import draw_overprint
from training.errors import TooFewScansError
from training.seeding import generator_for

MATCHED_SHARE = 0.7
"""Share of the authentic partners that go through the pixels of the network that drew the fake."""

Example = dict[str, Tensor]
"""``image`` ``[3, C, C]``, ``mask`` ``[C, C]`` (share of each pixel that is fake), ``label``."""


class Group:
    """Scans of one kind, from one source or several.

    Args:
        scans: At least one.
    """

    def __init__(self, scans: Sequence[Scan]) -> None:
        self.scans = list(scans)
        by_source: dict[str, list[Scan]] = defaultdict(list)
        for scan in scans:
            by_source[scan.source].append(scan)
        self._sources = [by_source[source] for source in sorted(by_source)]

    def draw(self, rng: np.random.Generator, *, balance: float) -> Scan:
        """Draw a scan; ``balance`` in [0, 1] says how alike the sources count."""
        scans = self.scans
        if balance > 0:
            weights = np.array([len(source) for source in self._sources]) ** (1.0 - balance)
            scans = self._sources[rng.choice(len(weights), p=weights / weights.sum())]
        return scans[rng.integers(len(scans))]


class Spot(NamedTuple):
    """A place in an authentic scan.

    Attributes:
        path: Of the scan.
        row: Of the pool's square, in pixels.
        column: The same.
    """

    path: str
    row: int
    column: int


class ScanPool:
    """The scans that pairs are drawn from, kept in memory as 8-bit squares once read.

    Attributes:
        hard: Places that a network took for forged though they are authentic.

    Args:
        scans: Both classes of the training side.
        image_size: Side of the squares, in pixels.
        name: What messages call them.
        enlarges: Whether a scan smaller than that is scaled up to it. If not, its square is as
            large as its longer side: scaled up, it would have lost the grain that edits disturb.

    Raises:
        TooFewScansError: One of the classes has no scan.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        image_size: int,
        name: str = "training side",
        *,
        enlarges: bool = True,
    ) -> None:
        self._image_size = image_size
        self._enlarges = enlarges
        self._squares: dict[str, NDArray[np.uint8]] = {}
        self.scans = list(scans)
        self.real = [s for s in scans if s.label is Label.REAL]
        self.by_path = {str(s.path): s for s in self.real}
        fakes: dict[str, list[Scan]] = defaultdict(list)
        for scan in scans:
            if scan.label is Label.FAKE:
                fakes[scan.generator].append(scan)
        self.authentic = Group(self.real)
        self.local = [Group(group) for group in fakes.values() if group[0].mask]
        self.whole = [Group(group) for group in fakes.values() if not group[0].mask]
        self.hard: list[Spot] = []
        if not self.real or not fakes:
            raise TooFewScansError(
                f"The {name} needs authentic scans and fakes; it has "
                f"{len(self.real)} and {sum(map(len, fakes.values()))}."
            )

    def draw_pair(
        self, rng: np.random.Generator, *, local_share: float, balance: float
    ) -> tuple[Scan, Scan]:
        """Draw a fake and its authentic partner; see ``Sampling`` for the shares."""
        local = bool(self.local) and (not self.whole or rng.random() < local_share)
        groups = self.local if local else self.whole
        fake = groups[rng.integers(len(groups))].draw(rng, balance=balance)
        if fake.origin:
            return fake, self.by_path[fake.origin]
        return fake, self.authentic.draw(rng, balance=balance)

    def square(self, path: Path | str) -> NDArray[np.float32]:
        """Return a scan or a mask fitted into its square, float32 in [0, 1]."""
        key = str(path)
        if key not in self._squares:
            grey = read_grey(path)
            side = self._image_size if self._enlarges else min(self._image_size, max(grey.shape))
            square = to_square(grey, side)
            self._squares[key] = (square * 255).round().to(torch.uint8).numpy()
        return self._squares[key].astype(np.float32) / np.float32(255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What pairs are made of.

    Attributes:
        seed: Whatever the draws depend on, such as (seed, epoch).
        local_share: Share of the fakes that are local edits, in [0, 1].
        source_balance: How alike the sources count, in [0, 1].
        augmentation: How scans are varied.
    """

    seed: tuple[int, ...]
    local_share: float
    source_balance: float = 0.0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


class PairDataset(Dataset[Example]):
    """Training examples in pairs: at 2k a fake, at 2k + 1 an authentic partner.

    The partner of a local edit is the very scan that was edited, at the same crop and varied in
    the same way, so that nothing but the edit tells the two apart. The partner of a synthetic
    scan is an authentic one drawn at random. Where a network drew a fake in small, most partners
    are scaled down to that size and up again, so that being coarse does not tell either
    (``MATCHED_SHARE``). Some partners are cut where authentic tissue was taken for forged
    (``PhaseConfig.hard_share``). Some pairs come from other images altogether
    (``PhaseConfig.companion_share``), their fakes of each source alike.

    Args:
        pool: Scans to draw from.
        preprocessing: Of the system.
        phase: Gives crop size, batch size and steps an epoch.
        sampling: What pairs are made of.
        companions: The other images; None without.
    """

    def __init__(
        self,
        pool: ScanPool,
        preprocessing: PreprocessingSpec,
        phase: PhaseConfig,
        sampling: Sampling,
        companions: ScanPool | None = None,
    ) -> None:
        self._pool = pool
        self._companions = companions
        self._preprocessing = preprocessing
        self._phase = phase
        self._sampling = sampling

    def __len__(self) -> int:
        return (self._phase.steps_per_epoch or 0) * self._phase.batch_size

    def __getitem__(self, index: int) -> Example:
        pair, partner = divmod(index, 2)
        # Both members of a pair draw the same numbers.
        rng = generator_for(*self._sampling.seed, self._phase.crop_size, pair)
        pool, balance = self._draw_pool(pair)
        fake, real = pool.draw_pair(rng, local_share=self._sampling.local_share, balance=balance)
        spot = self._draw_spot(pool, pair) if partner else None
        grey = pool.square(spot.path if spot else real.path if partner else fake.path)
        if partner and fake.drawn_side:
            grey = self._matched(grey, int(fake.drawn_side), pair)
        edit = pool.square(fake.mask) if fake.mask else np.ones_like(grey)
        focus = _center_of(edit) if fake.mask else None
        if spot:
            focus = spot.row, spot.column
        # A hard place may lie in a scan of another size than the one that was edited.
        mask = np.zeros_like(grey) if partner else edit
        geometry = _draw_geometry(rng, self._phase.crop_size, grey.shape[0], focus, self._sampling)
        turn = _draw_turn(rng, self._sampling.augmentation)
        grey, mask = turn.apply(geometry.apply(grey)), turn.apply(geometry.apply(mask))
        if over := draw_overprint(rng, len(grey), self._sampling.augmentation):
            grey, mask = over.over(grey), over.uncovered(mask)
        # A scan that was edited or sent through a network shows it in its detail alone.
        detail = bool(fake.mask or fake.origin)
        grey = vary_appearance(grey, rng, self._sampling.augmentation, keep_detail=detail)
        return example_of(grey, mask, not partner, self._preprocessing)

    def _draw_pool(self, pair: int) -> tuple[ScanPool, float]:
        """Draw which pool a pair is of, by numbers of its own; and how alike its sources count."""
        if self._companions is not None:
            rng = generator_for(*self._sampling.seed, self._phase.crop_size, pair, "companions")
            if rng.random() < self._phase.companion_share:
                return self._companions, 1.0
        return self._pool, self._sampling.source_balance

    def _matched(self, grey: NDArray[np.float32], side: int, pair: int) -> NDArray[np.float32]:
        """Send most squares through the pixels of a network that drew images of that side."""
        rng = generator_for(*self._sampling.seed, self._phase.crop_size, pair, "matched")
        if rng.random() >= MATCHED_SHARE or side >= len(grey):
            return grey
        return resampled(grey, side / len(grey), smooth=bool(rng.random() < 0.5))

    def _draw_spot(self, pool: ScanPool, pair: int) -> Spot | None:
        """Draw a place for the authentic partner, by numbers of its own; None for its usual one."""
        if not pool.hard:
            return None
        rng = generator_for(*self._sampling.seed, self._phase.crop_size, pair, "hard")
        hard = rng.random() < self._phase.hard_share
        return pool.hard[rng.integers(len(pool.hard))] if hard else None


def example_of(
    grey: NDArray[np.float32],
    mask: NDArray[np.float32],
    fake: bool,
    preprocessing: PreprocessingSpec,
) -> Example:
    """Return a scan and its mask, both ``[C, C]`` in [0, 1], as the training step takes them."""
    return {
        "image": normalise(torch.from_numpy(np.ascontiguousarray(grey)), preprocessing),
        "mask": torch.from_numpy(np.ascontiguousarray(mask)),
        "label": torch.tensor(float(fake)),
    }


def _draw_turn(rng: np.random.Generator, config: AugmentationConfig) -> Placement:
    """Draw by how much a crop is turned; nothing is drawn where that is not wanted."""
    if config.rotation_degrees == 0:
        return Placement()
    return Placement(degrees=config.rotation_degrees * float(rng.uniform(-1, 1)))


@dataclass(frozen=True, slots=True)
class _Geometry:
    """A crop of a square, scaled to the crop size and turned."""

    top: int
    left: int
    side: int
    crop_size: int
    quarter_turns: int
    mirrored: bool

    def apply(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        part = square[self.top : self.top + self.side, self.left : self.left + self.side]
        if self.side != self.crop_size:
            part = scaled_to(part, self.crop_size, self.crop_size)
        part = np.rot90(part, self.quarter_turns)
        return part[:, ::-1] if self.mirrored else part


def _draw_geometry(
    rng: np.random.Generator,
    crop_size: int,
    image_size: int,
    focus: tuple[int, int] | None,
    sampling: Sampling,
) -> _Geometry:
    zoom = sampling.augmentation.zoom ** float(rng.uniform(-1, 1))
    if sampling.augmentation.unscaled and rng.random() < sampling.augmentation.unscaled:
        zoom = 1.0
    side = min(image_size, round(crop_size * zoom))
    room = image_size - side
    position = rng.random(2)
    if focus is None:
        top, left = (int(p * (room + 1)) for p in position)
    else:
        # The edit lies anywhere within the middle 80 % of the crop.
        top, left = (
            int(np.clip(center - side * (0.1 + 0.8 * p), 0, room))
            for center, p in zip(focus, position, strict=True)
        )
    turns = int(rng.integers(4)) if sampling.augmentation.flip_vertical else 0
    mirrored = bool(rng.random() < 0.5) and sampling.augmentation.flip_horizontal
    return _Geometry(top, left, side, crop_size, turns, mirrored)


def _center_of(mask: NDArray[np.float32]) -> tuple[int, int]:
    # A thin edit of a scan that was scaled down fills none of its pixels.
    rows, columns = np.nonzero(mask > min(0.5, float(mask.max()) / 2))
    return int(rows.mean()), int(columns.mean())


class WholeScanDataset(Dataset[tuple[Tensor, int]]):
    """Whole scans exactly as the server would feed them, with their position in the list."""

    def __init__(self, scans: Sequence[Scan], preprocessing: PreprocessingSpec) -> None:
        self._scans = scans
        self._preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self._scans)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        square = to_square(read_grey(self._scans[index].path), self._preprocessing.image_size)
        return normalise(square, self._preprocessing), index
