"""How the server is: its engine, its disk, its memory and what it runs on."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.config import Settings
from app.engine.protocol import Availability, Engine, MeasuredEngine
from app.records import AnalysisStatus
from app.storage.database import FILE_NAME, SCHEMA_VERSION, Database
from app.storage.statistics import StatisticsStore, UserStorage

PACKAGES = ("flask", "gunicorn", "sqlalchemy", "tinydb", "torch", "torchvision", "pydicom")
LOW_SPACE_SHARE = 0.1
LOW_SPACE_BYTES = 2 * 2**30
LONG_QUEUE_SHARE = 0.8
LARGEST_USERS = 10
STARTED = time.monotonic()
PROC_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk under the data folder, in bytes."""

    total_bytes: int
    free_bytes: int

    @property
    def is_low(self) -> bool:
        """Whether it is time to make room: under 2 GiB or a tenth of it are left."""
        return self.free_bytes < max(LOW_SPACE_BYTES, LOW_SPACE_SHARE * self.total_bytes)

    @property
    def used_share(self) -> float:
        """Which part of it is taken, in [0, 1]."""
        return 1 - self.free_bytes / self.total_bytes if self.total_bytes else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The state of the server at one moment.

    Attributes:
        device: ``cpu`` or ``cuda``.
        queue_length: Scans that wait for the engine.
        queue_size: How many may.
        modalities: What can be judged, by key.
        analyses: How many there are in each state.
        memory_bytes: What this process has in memory; None where that is not to be learned.
        load: Processes that wanted to run in the last minute, on average, and the cores there are.
        versions: Of the parts, by name.
        problems: A sentence for each thing that an administrator should see to.
    """

    device: str
    queue_length: int
    queue_size: int
    modalities: Mapping[str, Availability]
    analyses: Mapping[AnalysisStatus, int]
    disk: Disk
    memory_bytes: int | None
    load: tuple[float, int]
    uptime: timedelta
    database: str
    versions: Mapping[str, str]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReport:
    """What is stored.

    Attributes:
        pictures_bytes: What the scans and thumbnails take.
        database_bytes: What the SQLite file takes; None where the database is elsewhere.
        analyses: How many there are.
        largest: Users whose scans take most, the largest first.
        beyond_retention: How many analyses are older than the retention setting.
    """

    disk: Disk
    pictures_bytes: int
    database_bytes: int | None
    analyses: int
    largest: tuple[UserStorage, ...]
    beyond_retention: int


class MonitoringService:
    """Looks at the server for an administrator.

    Args:
        settings: Of this server.
        engine: Judges the scans.
        database: Where the analyses are.
        clock: Returns the present time.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._statistics = StatisticsStore(database)
        self._database_kind = database.kind
        self._clock = clock

    def health(self) -> HealthReport:
        """Return how the server is now.

        Raises:
            StorageError: The database cannot be read.
        """
        disk, queue_length = self.disk(), self._engine.queue_length()
        modalities = self._engine.availability()
        return HealthReport(
            device=self._engine.device,
            queue_length=queue_length,
            queue_size=self._settings.queue_size,
            modalities=modalities,
            analyses=self._statistics.by_status(),
            disk=disk,
            memory_bytes=_resident_bytes(),
            load=(os.getloadavg()[0], os.cpu_count() or 1),
            uptime=timedelta(seconds=time.monotonic() - STARTED),
            database=f"{self._database_kind}, schema {SCHEMA_VERSION}",
            versions=_versions(),
            problems=tuple(self._problems(disk, queue_length, modalities)),
        )

    def storage(self, retention_days: int) -> StorageReport:
        """Return what is stored, and how much of it is older than ``retention_days`` (0: never).

        Raises:
            StorageError: The database cannot be read.
        """
        path = self._settings.data_dir / FILE_NAME
        oldest = self._clock() - timedelta(days=retention_days)
        return StorageReport(
            disk=self.disk(),
            pictures_bytes=self._statistics.total_bytes(),
            database_bytes=path.stat().st_size if self._is_beside(path) else None,
            analyses=sum(self._statistics.by_status().values()),
            largest=tuple(self._statistics.largest_users(LARGEST_USERS)),
            beyond_retention=self._statistics.count_before(oldest) if retention_days else 0,
        )

    def disk(self) -> Disk:
        """Return the room on the disk under the data folder."""
        usage = shutil.disk_usage(self._settings.data_dir)
        return Disk(total_bytes=usage.total, free_bytes=usage.free)

    def _is_beside(self, path: Path) -> bool:
        return self._settings.database_url is None and path.is_file()

    def _problems(
        self, disk: Disk, queue_length: int, modalities: Mapping[str, Availability]
    ) -> list[str]:
        found = []
        if disk.is_low:
            found.append("The disk under the data folder is nearly full. Make room, or keep less.")
        if queue_length >= LONG_QUEUE_SHARE * self._settings.queue_size:
            found.append("The queue is nearly full: more scans come in than the engine can judge.")
        shortages = (
            self._engine.figures().memory_shortages
            if isinstance(self._engine, MeasuredEngine)
            else 0
        )
        if shortages:
            found.append(
                f"The GPU had no memory for what it was to judge, {shortages} times since the "
                "start: scans take longer. Give it fewer at once (VERISCAN_MAX_BATCH), or to "
                "Veriscan alone."
            )
        found += [
            f"{key} cannot be judged: {availability.reason}"
            for key, availability in modalities.items()
            if not availability.is_available
        ]
        return found


def _resident_bytes() -> int | None:
    """Return what this process has in memory, as Linux tells it."""
    try:
        lines = PROC_STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), None)
    return None if kib is None else int(kib) * 1024


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # which an installation without GPU support may lack
            found[name] = "not installed"
    return found
