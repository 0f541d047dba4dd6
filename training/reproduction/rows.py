"""What the documents print, as data: the rows that are to be reproduced."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dacite

from training.errors import ConfigError, UnknownRowError

PUBLISHED_FILE = Path(__file__).parent / "published.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A system of a document.

    Attributes:
        document: Its number, such as ``000``.
        title: Of the system, as the document calls it.
        system: Name of its config in ``training/configs/``.
        place: Where the figures are printed.
        remark: Why ours may differ.
        published: Figures by metric, as printed; empty where none is.
        experiment: ``forgery`` (real against fake) or ``accuracy_drop`` (document 004).
    """

    document: str
    title: str
    system: str
    place: str
    remark: str
    published: dict[str, float]
    experiment: Literal["forgery", "accuracy_drop"] = "forgery"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    row: list[Row]


def load_rows(path: Path = PUBLISHED_FILE) -> list[Row]:
    """Return every row, in the order of the documents.

    Raises:
        ConfigError: The file cannot be used.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return dacite.from_dict(_File, raw, dacite.Config(strict=True)).row
    except (tomllib.TOMLDecodeError, dacite.DaciteError, OSError) as error:
        raise ConfigError(path, str(error)) from error


def choose_rows(rows: list[Row], only: tuple[str, ...]) -> list[Row]:
    """Return the rows whose system, document or beginning of a system's name is asked for.

    Args:
        rows: All.
        only: What is asked for; everything where empty.

    Raises:
        UnknownRowError: Something asked for fits no row.
    """
    for name in only:
        if not any(_fits(row, name) for row in rows):
            raise UnknownRowError(name, [row.system for row in rows])
    return [row for row in rows if not only or any(_fits(row, name) for name in only)]


def _fits(row: Row, name: str) -> bool:
    return name == row.document or row.system.startswith(name)
