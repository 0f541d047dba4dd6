"""Fakes with a medical finding: a DCGAN for each class, fitted on that class alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.detection.labels import Label
from training.config import Budget, DiagnosisConfig
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan, on_side
from training.errors import TooFewScansError
from training.fakes.base import create
from training.recipe import at_most
from training.runs import claim
from training.seeding import seed_for

PER_CLASS = 250
"""The document makes 500 of both classes."""
GENERATOR = "dcgan"
SIDE = 64
"""Of the images that the generator learns, in pixels."""
EPOCHS = 60

Greys = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFakes:
    """Makes the fakes of each class, and keeps them.

    Attributes:
        folder: For one folder a class.
        diagnosis: What the classes are of.
        output_side: Side of the fakes, in pixels.
        seed: Of everything random.
        budget: What it may spend.
    """

    folder: Path
    diagnosis: DiagnosisConfig
    output_side: int
    seed: int
    budget: Budget

    def make(self, label: Label, labelled: Sequence[Scan]) -> Greys:
        """Make one class's fakes from its authentic training scans; those that are there are kept.

        Args:
            label: The class; FAKE stands for the finding.
            labelled: Authentic scans of every side, labelled by the finding.

        Returns:
            float32 in [0, 1], shape ``[output_side, output_side]`` each.

        Raises:
            TooFewScansError: No training scan has the class.
            StaleRunError: Fakes of other settings lie there.
        """
        folder = self.folder / f"{self.diagnosis.column}-{label.name.lower()}"
        training = [scan.path for scan in on_side(labelled, "train", label)]
        if not training:
            raise TooFewScansError(f"No training scan has the class of {folder.name}.")
        epochs = at_most(EPOCHS, self.budget.max_generator_epochs)
        arguments = {"output_side": self.output_side, "side": SIDE, "epochs": epochs}
        claim(folder, GENERATOR, arguments, self.seed, self.diagnosis)
        generator = create(GENERATOR, arguments)
        count = at_most(PER_CLASS, self.budget.max_scans) or PER_CLASS
        images = [folder / "images" / f"{number:04d}.png" for number in range(count)]
        if not all(image.exists() for image in images):
            generator.fit(training, folder, seed=self.seed + int(label))
        for number, image in enumerate(tqdm(images, desc=folder.name, unit="fake")):
            if not image.exists():
                seed = seed_for("class fakes", self.seed, label.name, number)
                write_grey(image, generator.sample([seed])[0])
        return [read_grey(image) for image in images]
