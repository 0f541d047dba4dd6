"""Configurations: one TOML file a data set, one a trained system. An unknown key is an error.

A data set's is described in ``training.dataset_config``, the parts of a system's that say how it
is trained in ``training.recipe``.
"""

import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import dacite

from app.detection.card import ArchitectureSpec, PreprocessingSpec
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD, PREPROCESSING_VERSION
from training.dataset_config import (
    DatasetConfig,
    FakesConfig,
    SideShares,
    require_plain_name,
)
from training.errors import ConfigError
from training.recipe import (
    AugmentationConfig,
    Budget,
    L2Config,
    PhaseConfig,
    Precision,
    at_most,
)

__all__ = [
    "CONFIGS_DIR",
    "DATASETS_DIR",
    "AugmentationConfig",
    "Budget",
    "DatasetConfig",
    "DiagnosisConfig",
    "FakesConfig",
    "L2Config",
    "PhaseConfig",
    "SideShares",
    "SystemConfig",
    "load_dataset_config",
    "load_system_config",
]

CONFIGS_DIR = Path(__file__).parent / "configs"
DATASETS_DIR = CONFIGS_DIR / "datasets"

T = TypeVar("T")
NO_NORMALISATION = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisConfig:
    """A medical finding to be learned in place of forgery, from authentic scans alone.

    Document 004 trains its classifiers so, to watch their accuracy fall on fakes. What is trained
    so is no detector and is never published.

    Attributes:
        column: Of the manifest, such as ``grade``. Scans without an entry are left out.
        positive: Its entries that make the class which stands in FAKE's place, such as 2, 3, 4.
    """

    column: Literal["grade"]
    positive: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """A network to be trained: a detector, unless it has a ``diagnosis``.

    Attributes:
        name: Of the file and of the published checkpoint.
        dataset: Name of the data set's config.
        seed: Of initialisation, sampling and augmentation.
        companions: Names of data sets of other images whose training sides are learned from too,
            in the share that each phase says. Nothing is judged on them: they show what devices
            and anatomy may look like without being forged.
        architecture: Builder and its arguments.
        image_size: Side of the square input of the published detector, in pixels.
        phases: One after the other, each continuing from what the one before it ended with:
            its best epoch, or a mean of such.
        diagnosis: What to learn in place of forgery.
        normalisation: ``imagenet`` (its mean and deviation) or ``none`` (grey values in [0, 1]).
        sampling: ``pairs`` (crops of a fake and its authentic partner) or ``epoch`` (every whole
            scan of the training side once, in an order drawn anew, as the documents do).
        max_scans: At most so many authentic scans of each side, and fakes of each generator on it;
            None takes all.
        initialisation: How the weights begin: ``random``, ``imagenet`` or
            ``imagenet_or_random`` (see ``training.classifiers.initialisation``).
        frozen_trunk: Whether the trunk keeps the weights it begins with.
        monitor: ``validation_auc`` or ``validation_loss``: what tells the best epoch and stops
            early. Of epochs with equal AUC, that with the lowest loss is the best.
        cell_loss: Share of the loss that goes to single cells, the rest to whole scans.
        local_share: Share of the fakes that are local edits, in [0, 1].
        source_balance: How alike the sources of scans count in pairs: 0 draws every scan alike,
            so the largest source rules, 1 draws every source alike; in [0, 1].
        weight_decay: Of AdamW; the other optimisers have none.
        l2: Penalty on large weights, as in Keras.
        gradient_clip: Largest norm of the gradient; 0 does not clip.
        precision: Lightning's name for it: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
            A CPU without instructions for bfloat16 trains in ``32-true`` in place of the second.
        validation_scans: At most so many of the validation side after each epoch; 0 for all.
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
    companions: list[str] = field(default_factory=list)
    diagnosis: DiagnosisConfig | None = None
    normalisation: Literal["imagenet", "none"] = "imagenet"
    sampling: Literal["pairs", "epoch"] = "pairs"
    max_scans: int | None = None
    initialisation: str = "random"
    frozen_trunk: bool = False
    monitor: Literal["validation_auc", "validation_loss"] = "validation_auc"
    cell_loss: float = 0.5
    local_share: float = 0.6
    source_balance: float = 0.0
    weight_decay: float = 0.01
    l2: L2Config | None = None
    gradient_clip: float = 1.0
    precision: Precision = "bf16-mixed"
    validation_scans: int = 240
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    max_error_outside_band: float = 0.01
    minimums: dict[str, float] = field(default_factory=dict)
    intended_use: str
    limits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_plain_name(self.name)
        if not self.phases or self.seed < 0:
            raise ValueError("a system needs a seed from 0 on and at least one of [[phases]]")
        if self.phases[0].former_share:
            raise ValueError("the first phase has no former_share: nothing was learned before it")
        if self.phases[0].members > 1:
            raise ValueError("the first phase has one member: nothing was learned before it")
        if self.sampling == "pairs" and any(p.batch_size % 2 for p in self.phases):
            raise ValueError("pairs need an even batch_size: each fake comes with a partner")
        if self.sampling == "pairs" and any(p.steps_per_epoch is None for p in self.phases):
            raise ValueError('a phase of pairs needs "steps_per_epoch"')
        if self.diagnosis is not None and (self.sampling == "pairs" or self.cell_loss):
            raise ValueError('a diagnosis needs sampling = "epoch" and cell_loss = 0.0')
        if bool(self.companions) != any(p.companion_share for p in self.phases):
            raise ValueError('companions and a phase\'s "companion_share" need each other')
        if self.companions and self.sampling != "pairs":
            raise ValueError('companions need sampling = "pairs"')
        if self.sampling == "epoch" and any(p.crop_size != self.image_size for p in self.phases):
            raise ValueError('sampling = "epoch" shows whole scans: set crop_size to image_size')

    @property
    def learned_from(self) -> dict[str, Any]:
        """Every setting that the trained network depends on, without those left at their default.

        So a setting that is added later leaves earlier runs as valid as they were.
        """
        network = replace(
            self, max_error_outside_band=0.01, minimums={}, intended_use="", limits=[]
        )
        return _settings(network)

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """How the network's input is made."""
        imagenet = self.normalisation == "imagenet"
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if imagenet else NO_NORMALISATION
        return PreprocessingSpec(
            image_size=self.image_size, mean=mean, std=std, version=PREPROCESSING_VERSION
        )

    @property
    def without_companions(self) -> "SystemConfig":
        """This system, learning from its own data set alone."""
        alone = [replace(phase, companion_share=0.0) for phase in self.phases]
        return replace(self, companions=[], phases=alone)

    def within(self, budget: Budget) -> "SystemConfig":
        """Return this system cut down to a budget, under a name of its own."""
        size = at_most(self.image_size, budget.image_size) or self.image_size
        arguments = dict(self.architecture.arguments)
        if "image_size" in arguments:
            arguments["image_size"] = size
        if "patch_size" in arguments:
            arguments["patch_size"] = math.gcd(arguments["patch_size"], size)
        return replace(
            self,
            name=self.name + budget.system_suffix,
            image_size=size,
            architecture=replace(self.architecture, arguments=arguments),
            max_scans=at_most(self.max_scans, budget.max_scans),
            phases=[phase.within(budget) for phase in self.phases],
        )


def _settings(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, and so on downwards."""
    settings = {}
    for one in fields(config):
        value = getattr(config, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if value != default:
            settings[one.name] = _plain(value)
    return settings


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _settings(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


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
