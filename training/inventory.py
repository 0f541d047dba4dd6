"""What there is to choose from: generators, public sets, data sets, networks and systems."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detection.architectures import architectures
from training.config import (
    CONFIGS_DIR,
    DATASETS_DIR,
    DatasetConfig,
    SystemConfig,
    load_dataset_config,
    load_system_config,
)
from training.data.sources.base import sources
from training.fakes.base import generators
from training.runs import dataset_paths, system_paths
from training.shelf import Shelf
from training.tables import NOTHING

Row = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where what was made is looked for.

    Attributes:
        runs: Of the stages.
        weights: Of published weights.
    """

    runs: Path
    weights: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of thing that a command or a config names.

    Attributes:
        title: Of its table.
        head: Of the columns.
        rows: Returns a row for each, in alphabetical order.
    """

    title: str
    head: Row
    rows: Callable[[Folders], Iterator[Row]]


def _generators(_folders: Folders) -> Iterator[Row]:
    for name, generator in generators().items():
        made = "edits of authentic scans" if generator.edits_originals else "whole images"
        yield name, made, _summary(generator)


def _sources(_folders: Folders) -> Iterator[Row]:
    for name, source in sources().items():
        yield name, source.licence, _summary(sys.modules[source.reader.__module__])


def _datasets(folders: Folders) -> Iterator[Row]:
    for path in sorted(DATASETS_DIR.glob("*.toml")):
        config = load_dataset_config(path.stem)
        made_by = ", ".join(fakes.folder_name for fakes in config.fakes)
        yield config.name, made_by, _state_of_dataset(config, folders), _comment(path)


def _networks(_folders: Folders) -> Iterator[Row]:
    for name, builder in architectures().items():
        yield name, _summary(builder).removeprefix("Build ")


def _systems(folders: Folders) -> Iterator[Row]:
    for path in sorted(CONFIGS_DIR.glob("*.toml")):
        config = load_system_config(path.stem)
        state = _state_of_system(config, folders)
        yield config.name, config.dataset, config.architecture.name, state, _comment(path)


KINDS: Mapping[str, Kind] = {
    "generators": Kind(
        title="Generators of fakes", head=("name", "makes", "how"), rows=_generators
    ),
    "sources": Kind(
        title="Public sets that prepare knows", head=("name", "licence", "what"), rows=_sources
    ),
    "datasets": Kind(
        title="Data sets", head=("name", "fakes", "made so far", "what"), rows=_datasets
    ),
    "networks": Kind(title="Networks", head=("name", "what"), rows=_networks),
    "systems": Kind(
        title="Systems", head=("name", "data set", "network", "made so far", "what"), rows=_systems
    ),
}
"""By the word that the command line takes."""


def _state_of_dataset(config: DatasetConfig, folders: Folders) -> str:
    paths = dataset_paths(folders.runs, config.name)
    if not paths.scans_index.exists():
        return NOTHING
    made = sum(paths.fakes_index(fakes.folder_name).exists() for fakes in config.fakes)
    return f"prepared, fakes of {made} of {len(config.fakes)}"


def _state_of_system(config: SystemConfig, folders: Folders) -> str:
    modality = load_dataset_config(config.dataset).modality
    name = config.name.removeprefix(f"{modality}_")
    states = []
    if system_paths(folders.runs, config.name).best_checkpoint.exists():
        states.append("trained")
    if (folders.weights / modality / f"{name}.json").exists():
        serving = Shelf(folders.weights, modality).serving()
        states.append("serves" if serving and serving.name == name else "published")
    return ", ".join(states) or NOTHING


def _summary(thing: Any) -> str:
    """Return the first line of a docstring, without its full stop."""
    return (inspect.getdoc(thing) or "").partition("\n")[0].rstrip(".").replace("``", "`")


def _comment(path: Path) -> str:
    """Return the first sentence of the comment that a TOML file begins with."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    return " ".join(words).partition(". ")[0].rstrip(".")
