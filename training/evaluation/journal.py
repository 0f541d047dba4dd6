"""What a detector has said so far, so that measuring goes on where it was stopped or refused."""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import app.detection
import training
from app.detection.weights import LoadedDetector
from training.data.manifest import Scan
from training.evaluation.prediction_file import Prediction


class Journal:
    """The predictions of one detector, a line a scan, in a file that grows as they are made.

    A line counts for the same weights at the same operating point on the same kind of device, for
    the same files and by the same code and libraries alone. One that was cut off does not count.

    Args:
        folder: Of the journals; is made where it is missing.
        detector: Its network and its card.
    """

    def __init__(self, folder: Path, detector: LoadedDetector) -> None:
        card = detector.card
        devices = sorted({p.device.type for p in detector.network.parameters()})
        of = (card.sha256, card.modality, card.operating_point, devices, _code())
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{sha256(repr(of).encode()).hexdigest()}.jsonl"
        self._lock = threading.Lock()
        self._rows: dict[str, list[Prediction]] = {}
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            with suppress(ValueError, TypeError):
                key, rows = json.loads(line)
                self._rows[key] = [Prediction(**row) for row in rows]
        if not text.endswith("\n"):
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")

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
        line = json.dumps([key, [asdict(row) for row in rows]]) + "\n"
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def _hash(path: Path | str) -> str:
    """Return a hash of a file; empty where there is none, which is for the judge to tell."""
    file = Path(path)
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


@cache
def _code() -> str:
    """Return a hash of all code that has a say in a prediction, libraries by their versions."""
    libraries = sorted(f"{d.name} {d.version}" for d in distributions())
    packages = [Path(p) for package in (app.detection, training) for p in package.__path__]
    files = sorted(file for package in packages for file in package.rglob("*.py"))
    code = b"".join(file.read_bytes() for file in files)
    return sha256(repr(libraries).encode() + code).hexdigest()
