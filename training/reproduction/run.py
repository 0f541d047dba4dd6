"""Reproducing row after row: what is finished is kept, what fails is shown and stops nothing."""

import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.errors import VeriscanError
from training.errors import StaleRunError
from training.reproduction.accuracy_drop import accuracy_drop
from training.reproduction.forgery import reproduce_forgery
from training.reproduction.laboratory import FULL, Laboratory, Setting
from training.reproduction.outcome import Outcome, folder_of, read_outcome, write_outcome
from training.reproduction.rows import Row
from training.runs import claim

EXPERIMENTS = {"forgery": reproduce_forgery, "accuracy_drop": accuracy_drop}
ERROR_FILE = "error.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a row.

    Attributes:
        row: Of the documents.
        outcome: None where it failed.
        failure: Why it failed, in a sentence; empty where it did not.
        seconds: How long it took now; next to nothing where it was finished before.
    """

    row: Row
    outcome: Outcome | None
    failure: str = ""
    seconds: float


def reproduce(rows: Sequence[Row], laboratory: Laboratory) -> Iterator[Result]:
    """Reproduce rows, and yield what became of each."""
    for row in rows:
        begun = time.monotonic()
        outcome, failure = _attempt(row, laboratory)
        yield Result(row=row, outcome=outcome, failure=failure, seconds=time.monotonic() - begun)


def _attempt(row: Row, laboratory: Laboratory) -> tuple[Outcome | None, str]:
    try:
        return _reproduce_row(row, laboratory), ""
    except VeriscanError as error:
        return None, str(error)
    except Exception as error:  # one row must not stop the others; it is written down
        logging.getLogger(__name__).exception("%s", row.system)
        paths = laboratory.system_paths(laboratory.setting(row.system).system)
        path = folder_of(paths) / ERROR_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
        return None, f"{type(error).__name__}: {error} (see {path})"


def _reproduce_row(row: Row, laboratory: Laboratory) -> Outcome:
    if laboratory.budget != FULL and (full := _finished_in_full(row, laboratory)):
        return full
    setting = laboratory.setting(row.system)
    paths = laboratory.system_paths(setting.system)
    _claim(setting, laboratory)
    if finished := read_outcome(paths):
        return finished
    outcome = EXPERIMENTS[row.experiment](setting, laboratory)
    write_outcome(paths, outcome)
    (folder_of(paths) / ERROR_FILE).unlink(missing_ok=True)
    return outcome


def _finished_in_full(row: Row, laboratory: Laboratory) -> Outcome | None:
    """Return what came of a row as documented: it says more than any run that was cut short."""
    setting = laboratory.setting(row.system, FULL)
    finished = read_outcome(laboratory.system_paths(setting.system))
    if finished is None:
        return None
    try:
        _claim(setting, laboratory)
    except StaleRunError:
        return None
    return finished


def _claim(setting: Setting, laboratory: Laboratory) -> None:
    """Make sure that what lies there was measured with these settings."""
    folder = folder_of(laboratory.system_paths(setting.system))
    claim(folder, setting.system.learned_from, setting.dataset)
