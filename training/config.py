"""Configurations: one TOML file a data set, one a trained system. An unknown key is an error."""

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import dacite

from app.detection.card import ArchitectureSpec, PreprocessingSpec
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD, PREPROCESSING_VERSION
from training.errors import ConfigError

CONFIGS_DIR = Path(__file__).parent / "configs"
DATASETS_DIR = CONFIGS_DIR / "datasets"

T = TypeVar("T")
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideShares:
    """How a source's patients are divided. The three shares add up to 1.

    Attributes:
        train: Share whose scans train the generators and the detector.
        validation: Share for early stopping, calibration and the inconclusive band.
        test: Share that is measured on, once.
    """

    train: float
    validation: float
    test: float

    def __post_init__(self) -> None:
        if (
            min(self.train, self.validation, self.test) < 0
            or abs(self.train + self.validation + self.test - 1) > 1e-6
        ):
            raise ValueError("the shares of train, validation and test must add up to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakesConfig:
    """One generator of a data set.

    Attributes:
        generator: As registered in ``training.fakes``.
        per_real: Fakes made for each authentic scan of a side.
        seed: Of the first fake; the others count on from it.
        arguments: Keyword arguments of the generator.
    """

    generator: str
    per_real: int = 1
    seed: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """A data set: which scans, on which sides, with which fakes.

    Attributes:
        name: Of the file.
        modality: Key of the modality; other rows of the manifest are passed over.
        seed: Of the division into sides.
        sides: The division of every source that is not named in ``own_sides``.
        own_sides: The division of single sources, such as fakes of a third party that must not
            train anything.
        fakes: The generators.
    """

    name: str
    modality: str
    seed: int
    sides: SideShares
    own_sides: dict[str, SideShares] = field(default_factory=dict)
    fakes: list[FakesConfig] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """How strongly training scans are varied; each probability in [0, 1], 0 switches it off.

    Attributes:
        flip_vertical: Whether scans may stand on their head (and be turned by 90°).
        zoom: Largest factor of scaling up, and of scaling down, at least 1.
        window: Probability of another window (contrast, exposure, gamma).
        resample: Probability of a loss of resolution: scaled down and up again.
        min_resolution: Least share of the resolution that is left by it, for crops without a
            local edit (with one, never under one half).
        blur: Probability of a Gaussian blur or of sharpening.
        noise: Probability of Gaussian noise.
        jpeg: Probability of a JPEG round trip.
    """

    flip_vertical: bool = False
    zoom: float = 1.15
    window: float = 0.7
    resample: float = 0.3
    min_resolution: float = 0.125
    blur: float = 0.2
    noise: float = 0.3
    jpeg: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """A stretch of training at one crop size.

    Attributes:
        epochs: At most so many.
        steps_per_epoch: Optimiser steps an epoch.
        crop_size: Side of the training crops, in pixels; a multiple of 32.
        batch_size: Scans a step; even, since fakes come with an authentic partner.
        learning_rate: Peak of the one-cycle schedule.
        patience: Epochs without a better validation AUC after which the phase ends.
    """

    epochs: int
    steps_per_epoch: int
    crop_size: int
    batch_size: int
    learning_rate: float
    patience: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """A detector to be trained.

    Attributes:
        name: Of the file and of the published checkpoint.
        dataset: Name of the data set's config.
        seed: Of initialisation, sampling and augmentation.
        architecture: Builder and its arguments.
        image_size: Side of the square input of the published detector, in pixels.
        phases: One after the other, each continuing from the best checkpoint before it.
        initialisation: How the weights begin: ``random`` or ``imagenet`` (see
            ``training.classifiers.initialisation``).
        frozen_trunk: Whether the trunk keeps the weights it begins with.
        cell_loss: Share of the loss that goes to single cells, the rest to whole scans.
        local_share: Share of the fakes that are local edits, in [0, 1].
        weight_decay: Of AdamW.
        precision: Lightning's name for it: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        validation_scans: At most so many of the validation side after each epoch.
        augmentation: How scans are varied.
        max_error_outside_band: Each error rate allowed outside the inconclusive band.
        minimums: Least values of metrics on the test side without which nothing is published.
        intended_use: For the card.
        limits: For the card.
    """

    name: str
    dataset: str
    seed: int
    architecture: ArchitectureSpec
    image_size: int
    phases: list[PhaseConfig]
    initialisation: str = "random"
    frozen_trunk: bool = False
    cell_loss: float = 0.5
    local_share: float = 0.6
    weight_decay: float = 0.01
    precision: Precision = "bf16-mixed"
    validation_scans: int = 240
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    max_error_outside_band: float = 0.01
    minimums: dict[str, float] = field(default_factory=dict)
    intended_use: str
    limits: list[str] = field(default_factory=list)

    @property
    def learned_from(self) -> "SystemConfig":
        """This config without what only the card or the gate needs: the same network results."""
        return replace(self, max_error_outside_band=0.0, minimums={}, intended_use="", limits=[])

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """How the detector's input is made."""
        return PreprocessingSpec(
            image_size=self.image_size,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            version=PREPROCESSING_VERSION,
        )


def load_dataset_config(name_or_path: str) -> DatasetConfig:
    """Load a data set's config by its name in ``configs/datasets/`` or by path."""
    return _load(DatasetConfig, _find(name_or_path, DATASETS_DIR))


def load_system_config(name_or_path: str) -> SystemConfig:
    """Load a system's config by its name in ``configs/`` or by path."""
    return _load(SystemConfig, _find(name_or_path, CONFIGS_DIR))


def _find(name_or_path: str, folder: Path) -> Path:
    named = folder / f"{name_or_path}.toml"
    path = named if named.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise ConfigError(path, f"there is no such config. Known here: {known}.")
    return path


def _load(kind: type[T], path: Path) -> T:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return dacite.from_dict(kind, raw, dacite.Config(strict=True))
    except (tomllib.TOMLDecodeError, dacite.DaciteError, TypeError, ValueError) as error:
        raise ConfigError(path, str(error)) from error
