"""The configuration of a data set: which scans, on which sides, with which fakes."""

from dataclasses import dataclass, field, replace
from typing import Any

from training.runs import is_plain_name


def require_plain_name(name: str) -> None:
    """Make sure that a name can be that of a folder.

    Raises:
        ValueError: It is empty, or leads elsewhere.
    """
    if not is_plain_name(name):
        raise ValueError(f"name {name!r} cannot name a folder: write one without / and \\")


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
        per_real_of: The same for the sources named, such as those with few scans that matter.
        seed: Of the first fake; the others count on from it.
        arguments: Keyword arguments of the generator, for minutes on a CPU.
        full_size_arguments: Those that differ at full size, for hours on a GPU
            (``fakes --full-size``).
        least_change: Fakes whose mean change, within their mask, is less are left out: an edit that
            rounding undoes is none. In grey levels of 255; 0 keeps all.
        teaches_only: Its fakes stand on the training side alone: traces to learn from that nobody
            would forge with, so no operating point and no figure is about them.
        name: Of the folder of its fakes; needed where a generator stands twice in a data set.
    """

    generator: str
    per_real: int = 1
    seed: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    # Folders are claimed by what these dataclasses print: these change no single fake.
    per_real_of: dict[str, int] = field(default_factory=dict, repr=False)
    full_size_arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    least_change: float = field(default=0.0, repr=False)
    teaches_only: bool = field(default=False, repr=False)
    name: str = field(default="", repr=False)

    @property
    def folder_name(self) -> str:
        """Where its fakes lie: its name, or that of the generator."""
        return self.name or self.generator

    @property
    def at_full_size(self) -> "FakesConfig":
        """This generator as ``--full-size`` asks for it."""
        return replace(self, arguments=self.arguments | self.full_size_arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """A data set: which scans, on which sides, with which fakes.

    Attributes:
        name: Of the file.
        modality: Key of the modality that images are decoded as.
        takes: Modalities whose rows of the manifest are taken, the others being passed over; by
            default ``modality`` alone.
        seed: Of the division into sides.
        sides: The division of every source that is not named in ``own_sides``.
        own_sides: The division of single sources, such as fakes of a third party that must not
            train anything.
        fakes: The generators.
        max_scans: At most so many authentic scans of each side; None takes all.
        longest_side: Larger images are scaled down to it before they are stored, in pixels; None
            stores all at their own size.
    """

    name: str
    modality: str
    seed: int
    sides: SideShares
    own_sides: dict[str, SideShares] = field(default_factory=dict)
    fakes: list[FakesConfig] = field(default_factory=list)
    max_scans: int | None = None
    # Folders of reproductions are claimed by what this prints; most data sets have neither.
    takes: list[str] = field(default_factory=list, repr=False)
    longest_side: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        names = [fakes.folder_name for fakes in self.fakes]
        for name in (self.name, *names):
            require_plain_name(name)
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two [[fakes]] are named {min(twice)!r}: give one another name")

    @property
    def at_full_size(self) -> "DatasetConfig":
        """This data set with every generator at full size."""
        return replace(self, fakes=[fakes.at_full_size for fakes in self.fakes])
