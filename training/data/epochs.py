"""How the source documents feed a network: every whole scan once an epoch, in random order."""

from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from app.detection.card import PreprocessingSpec
from app.detection.labels import Label
from training.config import AugmentationConfig
from training.data.augment import draw_placement, vary_appearance
from training.data.dataset import Example, ScanPool, example_of
from training.data.overprint import draw_overprint
from training.seeding import generator_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Which scans of an epoch a process takes, of how many processes.

    Attributes:
        seed: Whatever the order depends on, such as (seed, phase, epoch).
        rank: Of the process, from 0.
        processes: Which share the epoch.
        limit: At most so many scans of each process; None takes all.
    """

    seed: tuple[int, ...]
    rank: int = 0
    processes: int = 1
    limit: int | None = None

    def draw(self, count: int) -> list[int]:
        """Return positions among ``count`` scans, each at most once; other processes have others.

        All processes take equally many, since they wait for each other after each batch.
        """
        order = generator_for("order", *self.seed).permutation(count)
        mine = order[self.rank :: self.processes][: count // self.processes]
        return [int(position) for position in mine[: self.limit]]


class EpochDataset(Dataset[Example]):
    """Whole scans of the training side, each once an epoch and varied by itself.

    Args:
        pool: The training side.
        preprocessing: Of the system.
        turn: Which scans, in which order.
        augmentation: How scans are varied.
    """

    def __init__(
        self,
        pool: ScanPool,
        preprocessing: PreprocessingSpec,
        turn: Round,
        augmentation: AugmentationConfig,
    ) -> None:
        self._pool = pool
        self._preprocessing = preprocessing
        self._turn = turn
        self._positions = turn.draw(len(pool.scans))
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Example:
        position = self._positions[index]
        scan = self._pool.scans[position]
        rng = generator_for("whole", *self._turn.seed, position)
        placement = draw_placement(rng, self._augmentation)
        grey = placement.apply(self._pool.square(scan.path))
        fake = scan.label is Label.FAKE
        mask = np.full_like(grey, float(fake))
        if fake and scan.mask:
            mask = placement.apply(self._pool.square(scan.mask))
        if over := draw_overprint(rng, len(grey), self._augmentation):
            grey, mask = over.over(grey), over.uncovered(mask)
        grey = vary_appearance(grey, rng, self._augmentation, keep_detail=bool(scan.origin))
        return example_of(grey, mask, fake, self._preprocessing)
