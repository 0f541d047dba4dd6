"""What a generator of fakes is, and the lookup over all of them.

A generator is one file in ``training/fakes/`` with a class that registers itself. To add one:

1. subclass ``Generator`` and decorate it with ``@register("its_name")``;
2. ``fit`` learns from authentic training scans and leaves a checkpoint in ``folder``; if a
   finished one lies there it is loaded instead;
3. ``make`` returns one fake that depends on its seed (and on the original) alone;
4. if it makes whole images and a GPU makes many at once faster, override ``sample`` as well, and
   set ``together``;
5. give counts and sizes the type ``int``: ``create`` refuses what is below 1;
6. name it in ``training/configs/datasets/<dataset>.toml``.
"""

import importlib
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from training.errors import GeneratorError

LEAST_CHANGE = 1.2 / 255
"""Mean change of grey values within a local edit's mask below which it is none: about one step of
an 8-bit scan, which nobody could see or learn. The generator tries another place instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fake:
    """A fake scan.

    Attributes:
        grey: float32 in [0, 1], shape ``[H, W]``.
        mask: Where the scan was edited, bool, shape ``[H, W]``; None where all of it is synthetic.
        tamper: The kind of edit, such as ``injection``; empty for a whole synthetic image.
        center: Column and row of the edit, in pixels; None for a whole synthetic image.
        drawn_side: Longer side in pixels at which a network drew all of it, before it was scaled to
            its size, or of the small scan from which it drew; None for a local edit, and where the
            generator says it for all of its fakes.
    """

    grey: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None
    tamper: str = ""
    center: tuple[int, int] | None = None
    drawn_side: int | None = None


def changes_enough(fake: Fake, original: NDArray[np.float32]) -> bool:
    """Tell whether a local edit changes its region by ``LEAST_CHANGE`` on average."""
    if fake.mask is None or not fake.mask.any():
        return False
    return bool(np.abs(fake.grey - original)[fake.mask].mean() >= LEAST_CHANGE)


class Generator(ABC):
    """Makes fakes from what it learned of authentic training scans."""

    edits_originals: ClassVar[bool]
    """Whether a fake is an edit of an authentic scan (else it is synthetic all over)."""
    drawn_side: int | None = None
    """Side in pixels at which whole images are drawn before they are scaled, if always the same."""
    together: int = 1
    """How many whole images are best made at once; a CPU is no faster with many."""

    @abstractmethod
    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Learn, or load what was learned before.

        Args:
            scans: Authentic scans of the training side, prepared PNG.
            folder: For checkpoints; a stopped training resumes from it.
            seed: Of initialisation and sampling.
        """

    @abstractmethod
    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Make one fake.

        Args:
            original: The authentic scan to edit, float32 in [0, 1], shape ``[H, W]``; None for a
                generator of whole images.
            seed: The fake depends on it and on the original alone.

        Returns:
            The fake, or None if this original offers no place for an edit.
        """

    def sample(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Make whole synthetic images, each from its own seed.

        Args:
            seeds: One an image. An image depends on its own alone, up to the rounding of sums in
                another order: within one step of an 8-bit scan, whatever the batch.

        Returns:
            float32 in [0, 1], shape ``[N, H, W]``.

        Raises:
            ValueError: This generator edits authentic scans, or no seed is given.
        """
        if self.edits_originals:
            raise ValueError("a generator of edits needs authentic scans: use make()")
        if not seeds:
            raise ValueError("at least one seed is needed")
        return np.stack([fake.grey for s in seeds if (fake := self.make(None, seed=s))])


_generators: dict[str, type[Generator]] = {}


def register(name: str) -> Callable[[type[Generator]], type[Generator]]:
    """Register a generator under the name that configs use.

    Raises:
        GeneratorError: The name is taken.
    """

    def decorate(generator: type[Generator]) -> type[Generator]:
        if name in _generators:
            raise GeneratorError(f"The generator {name!r} is registered twice.")
        _generators[name] = generator
        return generator

    return decorate


@cache
def _discover() -> None:
    import training.fakes as package

    for module_info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module_info.name}")


def generators() -> Mapping[str, type[Generator]]:
    """Return every registered generator by name, in alphabetical order."""
    _discover()
    return dict(sorted(_generators.items()))


def create(name: str, arguments: Mapping[str, Any]) -> Generator:
    """Create a generator.

    Raises:
        GeneratorError: There is none of that name, or it refuses the arguments.
    """
    known = generators()
    if name not in known:
        raise GeneratorError(f"There is no generator {name!r}. Known: {', '.join(known)}.")
    try:
        _require_fitting(known[name], arguments)
        return known[name](**arguments)
    except (TypeError, ValueError) as error:
        raise GeneratorError(f"Generator {name!r}: {error}") from error


def _require_fitting(kind: type[Generator], arguments: Mapping[str, Any]) -> None:
    """Refuse what is no number where one is wanted, and counts and sizes below 1.

    Raises:
        ValueError: Naming the argument.
    """
    wanted = get_type_hints(kind.__init__)
    for name, value in arguments.items():
        if wanted.get(name) is int and not _is_count(value):
            raise ValueError(f"{name} must be a whole number of 1 or more, got {value!r}")
        if wanted.get(name) == Sequence[int] and not (
            isinstance(value, list | tuple) and all(map(_is_count, value))
        ):
            raise ValueError(f"{name} must be a list of whole numbers of 1 or more, got {value!r}")
        if wanted.get(name) is float and not _is_number(value):
            raise ValueError(f"{name} must be a number, got {value!r}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
