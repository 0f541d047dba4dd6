"""The stages up to a trained network, each run only where its result is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path

from app.detection.weights import LoadedDetector
from training.candidate import Candidate, trained_detector
from training.classifiers.train import Hardware, train
from training.config import (
    Budget,
    DatasetConfig,
    FakesConfig,
    SystemConfig,
    load_dataset_config,
    load_system_config,
)
from training.data.leakage import require_no_shortcut
from training.data.manifest import Scan, read_index
from training.data.prepare import prepare
from training.errors import ShortcutError, StageMissingError, TrainingError
from training.fakes.base import generators
from training.fakes.produce import as_companions, produce, read_dataset
from training.recipe import at_most
from training.runs import DatasetPaths, SystemPaths, dataset_paths, system_paths

FULL = Budget()
BUDGETS = {
    "quick": Budget(
        max_epochs=2,
        max_steps_per_epoch=12,
        image_size=96,
        max_scans=60,
        max_generator_epochs=10,
        max_generator_steps=30,
    ),
    "cpu": Budget(max_epochs=8, max_steps_per_epoch=60, image_size=128, max_generator_epochs=60),
    "full": FULL,
}
"""How much is spent: minutes for all rows, hours on a CPU, or what the documents say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A system and its data set as a budget leaves them.

    Attributes:
        system: Cut down.
        dataset: Cut down.
        documented: The system before it was cut down.
    """

    system: SystemConfig
    dataset: DatasetConfig
    documented: SystemConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """Where systems are reproduced.

    Attributes:
        runs_dir: For everything that the stages make.
        manifest: The scans; needed only where a data set is not prepared yet.
        budget: What a system may spend.
        hardware: What a run may use.
        broken: Data sets that could not be made, with the reason, so that none is tried twice.
    """

    runs_dir: Path
    manifest: Path | None = None
    budget: Budget = FULL
    hardware: Hardware = field(default_factory=Hardware)
    broken: dict[str, TrainingError] = field(default_factory=dict)

    def setting(self, system: str, budget: Budget | None = None) -> Setting:
        """Return a system's configs within the budget, or within another one."""
        allowed = self.budget if budget is None else budget
        documented = load_system_config(system)
        config = documented.within(allowed)
        if allowed != FULL:
            config = config.without_companions
            if config.initialisation == "imagenet":
                # A try-out should not end where a model hub is out of reach; the table says so.
                config = replace(config, initialisation="imagenet_or_random")
        dataset = dataset_within(load_dataset_config(documented.dataset), allowed)
        return Setting(system=config, dataset=dataset, documented=documented)

    def system_paths(self, config: SystemConfig) -> SystemPaths:
        """Return the files of a system."""
        return system_paths(self.runs_dir, config.name)

    def dataset_paths(self, config: DatasetConfig) -> DatasetPaths:
        """Return the files of a data set."""
        return dataset_paths(self.runs_dir, config.name)

    def scans(self, config: DatasetConfig, *, with_fakes: bool = True) -> list[Scan]:
        """Return the scans of a data set, which is prepared, and its fakes made, if need be.

        Raises:
            StageMissingError: It is not prepared, and there is no manifest to do it from.
            TrainingError: A stage failed.
        """
        if config.name in self.broken:
            raise self.broken[config.name]
        try:
            return self._scans(config, with_fakes=with_fakes)
        except TrainingError as error:
            self.broken[config.name] = error
            raise

    def _scans(self, config: DatasetConfig, *, with_fakes: bool) -> list[Scan]:
        paths = self.dataset_paths(config)
        if not paths.scans_index.exists():
            if self.manifest is None:
                raise StageMissingError(
                    f"python -m training prepare --dataset {config.name}` or give `--manifest"
                )
            prepare(self.manifest, config, paths)
        if not with_fakes:
            return read_index(paths.scans_index)
        try:
            return read_dataset(config, paths)
        except StageMissingError:
            produce(config, paths)
            return read_dataset(config, paths)

    def shortcut(self, setting: Setting, scans: Sequence[Scan]) -> str:
        """Return by what the classes are told apart without seeing the anatomy, in words, or "".

        Training refuses such a data set; a reproduction shows what its figures are worth.
        """
        try:
            require_no_shortcut(setting.system, scans)
        except ShortcutError as error:
            return error.shortcuts
        return ""

    def train(self, setting: Setting, scans: Sequence[Scan]) -> LoadedDetector:
        """Train a system, unless it is trained, and load it, not calibrated.

        Raises:
            TrainingError: It cannot be trained.
        """
        paths = self.system_paths(setting.system)
        beside = [self.scans(load_dataset_config(name)) for name in setting.system.companions]
        scans = [*scans, *(scan for other in beside for scan in as_companions(other))]
        train(setting.system, scans, paths, self.hardware)
        candidate = Candidate(
            config=setting.system, dataset=setting.dataset, scans=scans, paths=paths
        )
        return trained_detector(candidate, paths.best_checkpoint.read_bytes())


def dataset_within(config: DatasetConfig, budget: Budget) -> DatasetConfig:
    """Return a data set cut down to a budget, under a name of its own."""
    return replace(
        config,
        name=config.name + budget.dataset_suffix,
        max_scans=at_most(config.max_scans, budget.max_scans),
        fakes=[_cheaper(fakes, budget) for fakes in config.fakes],
    )


def _cheaper(fakes: FakesConfig, budget: Budget) -> FakesConfig:
    """Let a generator learn no longer than allowed, and make one fake a scan if scans are few."""
    limits = {"epochs": budget.max_generator_epochs, "steps": budget.max_generator_steps}
    parameters = signature(generators()[fakes.generator]).parameters
    shorter = {
        name: at_most(fakes.arguments.get(name, parameters[name].default), limit)
        for name, limit in limits.items()
        if limit is not None and name in parameters
    }
    cheaper = replace(fakes, arguments=fakes.arguments | shorter)
    return replace(cheaper, per_real=1, per_real_of={}) if budget.max_scans else cheaper
