"""Where the stages keep what they make, below one folder that git ignores."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from training.errors import BusyRunError, StaleRunError

DEFAULT_RUNS_DIR = Path("runs")
SETTINGS_FILE = "settings.sha256"
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Variables in which torchrun, Lightning and Slurm tell a process its number, from 0."""


def claim(folder: Path, *settings: object) -> None:
    """Mark a folder as made with these settings, or make sure that it was.

    Args:
        folder: Of one stage's files.
        settings: Whatever its files depend on; dataclasses and plain values.

    Raises:
        StaleRunError: It was made with others.
    """
    digest = sha256(repr(settings).encode()).hexdigest()
    mark = folder / SETTINGS_FILE
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(mark, f"{digest}\n".encode())
    elif mark.read_text(encoding="utf-8").strip() != digest:
        raise StaleRunError(folder)


@contextmanager
def held_alone(locks: Iterable[Path]) -> Iterator[None]:
    """Keep other processes off what these locks stand for, until the body or the process ends.

    POSIX locks: a loader's worker does not inherit them, so none outlives the process it works for.
    They keep no thread off, and are not to be nested: the end of the inner one frees both. Of the
    processes that train one network together the first holds them for all.

    Args:
        locks: Their empty files, which stay; removing one would let two in.

    Raises:
        BusyRunError: Another process holds one.
    """
    with ExitStack() as held:
        for lock in locks if is_first_process() else ():
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(lock.open("a"))
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:  # both are allowed by POSIX
                raise BusyRunError(lock) from error
        yield


def is_first_process() -> bool:
    """Tell whether this is the first of the processes that train one network together."""
    return next((os.environ[name] for name in RANKS if name in os.environ), "0") == "0"


def is_plain_name(name: str) -> bool:
    """Tell whether a name, given by a config or a manifest, names a folder and none outside."""
    return name.strip(". ") != "" and not any(letter in name for letter in "/\\\0")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, even if the process is killed or the power fails."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@dataclass(frozen=True, slots=True)
class DatasetPaths:
    """Files of one prepared data set."""

    root: Path

    @property
    def scans_dir(self) -> Path:
        """The decoded scans, as 8-bit grey PNG."""
        return self.root / "scans"

    @property
    def scans_index(self) -> Path:
        """The index of the manifest's scans, with their sides."""
        return self.root / "scans.csv"

    def generator_dir(self, generator: str) -> Path:
        """Checkpoint, images, masks and index of one generator."""
        return self.root / "fakes" / generator

    def fakes_index(self, generator: str) -> Path:
        """The index of one generator's fakes."""
        return self.generator_dir(generator) / "fakes.csv"


@dataclass(frozen=True, slots=True)
class SystemPaths:
    """Files of one trained system."""

    root: Path

    @property
    def best_checkpoint(self) -> Path:
        """What the last phase ended with, float32 safetensors."""
        return self.root / "best.safetensors"

    @property
    def initialisation(self) -> Path:
        """Where the first weights came from, in words."""
        return self.root / "initialisation.txt"

    def member_lock(self, member: int) -> Path:
        """Held by the process that trains a member of the phases."""
        return self.root / f"member{member}.lock"

    def phase_dir(self, phase: int, member: int = 0) -> Path:
        """Lightning's checkpoints of one member of a phase, from which a stopped run resumes."""
        folder = self.root / f"phase{phase}"
        return folder / f"member{member}" if member else folder

    @property
    def journals(self) -> Path:
        """What was said of single scans by a publication that is under way or was refused."""
        return self.root / "journals"

    @property
    def evaluation_dir(self) -> Path:
        """Metrics and predictions on the test side."""
        return self.root / "evaluation"


def dataset_paths(runs_dir: Path, dataset: str) -> DatasetPaths:
    """Return the files of a data set."""
    return DatasetPaths(runs_dir / "datasets" / dataset)


def system_paths(runs_dir: Path, system: str) -> SystemPaths:
    """Return the files of a system."""
    return SystemPaths(runs_dir / "systems" / system)
