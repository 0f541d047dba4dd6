"""A file that grows by a line of JSON for everything done: a kill loses none but the last."""

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.runs import write_whole


class JsonLines:
    """Values in a file, a line of JSON each.

    A line that a kill tore, or that is damaged otherwise, is as if it had never been written, and
    spoils no other.

    Args:
        path: Of the file; its folder is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)

    def read(self) -> list[Any]:
        """Return the values so far, oldest first."""
        values = []
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                with suppress(ValueError):
                    values.append(json.loads(line))
        return values

    def begin(self, values: Iterable[object]) -> None:
        """Write the file anew with these values, all of them or none."""
        write_whole(self._path, "".join(map(_line, values)).encode())

    def add(self, value: object) -> None:
        """Write a value down; may be called from several threads."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(_line(value))


def _line(value: object) -> str:
    return json.dumps(value) + "\n"
