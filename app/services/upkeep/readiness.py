"""Whether the server can do its work now: judge, and keep what it found."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from time import monotonic

from app.engine.protocol import Engine, MeasuredEngine
from app.errors import StorageError
from app.storage.database import Database

LEAST_FREE_BYTES = 256 * 2**20
FRESH_S = 5.0

PROBE = b"ready?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What was found.

    Attributes:
        problems: By what was looked at, a sentence on what is wrong; None where nothing is.
    """

    problems: Mapping[str, str | None]

    @property
    def is_ready(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.problems.values())


class ReadinessService:
    """Tries out what the work needs. An answer counts for some seconds, so asking is cheap.

    Args:
        engine: Judges the scans.
        database: Where the analyses are.
        data_dir: Where the scans are.
        time_s: Tells the time, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        database: Database,
        data_dir: Path,
        time_s: Callable[[], float] = monotonic,
    ) -> None:
        self._engine = engine
        self._database = database
        self._data_dir = data_dir
        self._time_s = time_s
        self._lock = Lock()
        self._found: tuple[float, Readiness] | None = None

    def check(self) -> Readiness:
        """Return whether the server can do its work."""
        with self._lock:
            if self._found is None or self._time_s() - self._found[0] > FRESH_S:
                found = Readiness(
                    problems={
                        "engine": self._problem_with_engine(),
                        "database": self._problem_with_database(),
                        "disk": self._problem_with_disk(),
                    }
                )
                self._found = self._time_s(), found
            return self._found[1]

    def _problem_with_engine(self) -> str | None:
        if isinstance(self._engine, MeasuredEngine) and not self._engine.figures().is_alive:
            return "The engine does not run."
        if not any(item.is_available for item in self._engine.availability().values()):
            return "No kind of scan can be judged."
        return None

    def _problem_with_database(self) -> str | None:
        try:
            self._database.try_writing()
        except StorageError:
            return "The database cannot be written."
        return None

    def _problem_with_disk(self) -> str | None:
        try:
            with TemporaryFile(dir=self._data_dir) as file:  # it never has a name
                file.write(PROBE)
                file.flush()
            free_bytes = shutil.disk_usage(self._data_dir).free
        except OSError as error:
            return f"The data folder cannot be written ({error.strerror})."
        if free_bytes < LEAST_FREE_BYTES:
            return f"Less than {LEAST_FREE_BYTES // 2**20} MB are free in the data folder."
        return None
