"""What a detector has said so far, so that measuring goes on where it was stopped or refused."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import app.detection
import app.engine
import training
from app.detection.card import Card
from training.data.manifest import Scan
from training.evaluation.prediction_file import Prediction
from training.json_lines import JsonLines


class Journal:
    """The predictions of one detector, a line a scan, in a file that grows as they are made.

    A line counts for the same weights at the same operating point in the same kind of runtime, for
    the same files and by the same code and libraries alone. One that was cut off does not count.

    Args:
        folder: Of the journals; is made where it is missing.
        card: Of the detector.
        runtime: Name of what runs it.
    """

    def __init__(self, folder: Path, card: Card, runtime: str) -> None:
        of = (card.sha256, card.modality, card.operating_point, runtime, _code())
        self._lines = JsonLines(folder / f"{sha256(repr(of).encode()).hexdigest()}.jsonl")
        self._rows: dict[str, list[Prediction]] = {}
        for value in self._lines.read():
            with suppress(ValueError, TypeError):  # a line of an older kind
                key, rows = value
                self._rows[key] = [Prediction(**row) for row in rows]

    def key(self, scan: Scan, variations: Sequence[str]) -> str:
        """Return what a scan's line is found by.

        Args:
            scan: Its image and its mask are read.
            variations: Names of what is done to it before it is judged.
        """
        of = (scan, _hash(scan.path), _hash(scan.mask), list(variations))
        return sha256(repr(of).encode()).hexdigest()

    def rows(self, key: str) -> list[Prediction] | None:
        """Return what was said of a scan, a row a variation; None where nothing was."""
        return self._rows.get(key)

    def add(self, key: str, rows: Sequence[Prediction]) -> None:
        """Write down what is said of a scan; may be called from several threads."""
        self._lines.add([key, [asdict(row) for row in rows]])


def _hash(path: Path | str) -> str:
    """Return a hash of a file; empty where there is none, which is for the judge to tell."""
    file = Path(path)
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


@cache
def _code() -> str:
    """Return a hash of all code that has a say in a prediction, libraries by their versions."""
    libraries = sorted(f"{d.name} {d.version}" for d in distributions())
    packages = [
        Path(p) for package in (app.detection, app.engine, training) for p in package.__path__
    ]
    files = sorted(file for package in packages for file in package.rglob("*.py"))
    code = b"".join(file.read_bytes() for file in files)
    return sha256(repr(libraries).encode() + code).hexdigest()
