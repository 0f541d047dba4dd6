"""The beat of a generator's training: each step seeded by its number, saved now and then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.fakes.checkpoints import Stateful, load_checkpoint, save_checkpoint
from training.seeding import generator_for, seed_for

LEAST_SAVES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of some networks in one folder.

    A step draws from its own number and the seed alone, so a training that was stopped and taken
    up again ends where one without a stop would have ended.

    Attributes:
        title: For the progress bar.
        folder: For the checkpoint.
        parts: Networks and optimisers, everything that a checkpoint has to hold.
        steps: Optimiser steps in all.
        seed: Of everything that the steps draw.
        save_every: Steps from one checkpoint to the next, at most; a short training, whose steps
            may be slow ones on a CPU, is saved ten times.
    """

    title: str
    folder: Path
    parts: Mapping[str, Stateful]
    steps: int
    seed: int
    save_every: int = 500

    def resume(self) -> range:
        """Load what was learned before; return the numbers of the steps still to be made."""
        return range(load_checkpoint(self.folder, self.parts), self.steps)

    def beat(self, numbers: range) -> Iterator[np.random.Generator]:
        """Yield a random generator for each step, and save when steps are done.

        PyTorch's own generators are seeded as well.
        """
        bar = tqdm(
            numbers, self.title, initial=numbers.start, total=self.steps, unit="step", leave=False
        )
        often = min(self.save_every, max(1, self.steps // LEAST_SAVES))
        for number in bar:
            torch.manual_seed(seed_for(self.title, self.seed, number))
            yield generator_for(self.title, self.seed, number)
            done = number + 1
            if done % often == 0 or done == self.steps:
                save_checkpoint(self.folder, self.parts, done)
