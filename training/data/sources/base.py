"""What a public data set is, and the lookup over all of them.

A data set is one file in ``training/data/sources/`` with a function that registers itself. To add
one:

1. look up how the set is laid out once it is unpacked, and say so in the docstring of the file;
2. decorate a function with ``@register("its_name", licence="…")``; it gets the folder and the
   options and returns a ``RawScan`` for each scan. Say who the patient is: everything of one
   person has to stand on one side;
3. try it: ``python -m training prepare --dataset … --source its_name --root FOLDER``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.volumes import middle_indices, slice_count
from training.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What is taken of a set.

    Attributes:
        every_slice: Of a volume's middle, every so many-th slice.
        limit: At most so many scans, spread evenly over the set; None takes all.
    """

    every_slice: int = 10
    limit: int | None = None


Reader = Callable[[Path, SourceOptions], Iterable[RawScan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A public data set that ``prepare`` knows.

    Attributes:
        name: On the command line.
        licence: Of its scans, as far as known; goes into every row.
        reader: Turns the folder into rows.
    """

    name: str
    licence: str
    reader: Reader


_sources: dict[str, Source] = {}


def register(name: str, *, licence: str) -> Callable[[Reader], Reader]:
    """Register a set under the name that the command line uses.

    Raises:
        SourceError: The name is taken.
    """

    def decorate(reader: Reader) -> Reader:
        if name in _sources:
            raise SourceError(f"The source {name!r} is registered twice.")
        _sources[name] = Source(name=name, licence=licence, reader=reader)
        return reader

    return decorate


@cache
def _discover() -> None:
    import training.data.sources as package

    for module_info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module_info.name}")


def sources() -> Mapping[str, Source]:
    """Return every known set by name, in alphabetical order."""
    _discover()
    return dict(sorted(_sources.items()))


def read_source(name: str, root: Path, options: SourceOptions | None = None) -> list[RawScan]:
    """Return the scans of a public set.

    Args:
        name: As registered.
        root: The folder that the set was unpacked into.
        options: What is taken of it.

    Raises:
        SourceError: There is no such set, or the folder does not hold it.
    """
    known, options = sources(), options or SourceOptions()
    if name not in known:
        raise SourceError(f"There is no source {name!r}. Known: {', '.join(known)}.")
    if not root.is_dir():
        raise SourceError(f"{name}: there is no folder {root}.")
    source = known[name]
    found = list(source.reader(root, options))
    if not found:
        raise SourceError(
            f"{name}: no scan was found below {root}. How its folders have to lie stands in "
            f"training/data/sources/{name}.py."
        )
    if options.limit is not None and len(found) > options.limit:
        found = [found[i * len(found) // options.limit] for i in range(options.limit)]
    return [replace(raw, scan=_licensed(raw.scan, source.licence)) for raw in found]


def files_below(folder: Path, *endings: str) -> list[Path]:
    """Return the files below a folder with one of the endings, whatever their case, in order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(endings) and path.is_file() and not path.name.startswith(".")
    )


def slices_of(path: Path, root: Path, row: Scan, every: int) -> list[RawScan]:
    """Return the slices of a volume's middle.

    Args:
        path: Of the volume.
        root: Of the set.
        row: What all of them have in common.
        every: Every so many-th is taken.

    Raises:
        SourceError: The volume cannot be read.
    """
    return [
        RawScan(
            scan=replace(row, path=path / f"{index:04d}"),
            name=f"{path.relative_to(root).as_posix()}/{index:04d}",
            slice_index=index,
        )
        for index in middle_indices(slice_count(path), every)
    ]


def _licensed(scan: Scan, licence: str) -> Scan:
    return scan if scan.licence else replace(scan, licence=licence)
