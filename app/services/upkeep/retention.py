"""Removes what has outlived its time: scans by the site's setting, traces of sign-ins always."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import Any
from uuid import UUID

from app.errors import NotFoundError, VeriscanError
from app.services.accounts.one_time_links import KEPT_AFTER_EXPIRY
from app.services.accounts.throttle import KNOWN_FOR
from app.services.audit import AuditService
from app.services.clock import Clock
from app.services.site_settings import SiteSettingsService
from app.storage.expiry import Deadlines, ExpiryStore
from app.storage.throttle import FORGOTTEN_AFTER

BATCH = 200
FIRST_AFTER_S = 60.0
EVERY_S = 60.0 * 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was removed, or would be.

    Attributes:
        days: The retention of the site; 0 keeps scans.
        counts: How many of each kind, in the order in which they are named to people.
    """

    days: int
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.counts.values())


class RetentionService:
    """Removes what is too old; the audit trail stays whole, since it names no patient.

    Args:
        store: Finds it.
        remove_analysis: Removes one analysis with its pictures.
        site_settings: Tell how long scans are kept.
        audit: Where it is recorded.
        clock: Tells the time.
        session_max: How long a session lasts at most.
    """

    def __init__(
        self,
        store: ExpiryStore,
        remove_analysis: Callable[[UUID], None],
        site_settings: SiteSettingsService,
        audit: AuditService,
        *,
        clock: Clock,
        session_max: timedelta,
    ) -> None:
        self._store = store
        self._remove_analysis = remove_analysis
        self._site_settings = site_settings
        self._audit = audit
        self._clock = clock
        self._session_max = session_max

    def due(self) -> Purged:
        """Return what a purge would remove now; changes nothing."""
        days, deadlines = self._deadlines()
        scans = self._store.count_analyses_before(deadlines.scans) if deadlines.scans else 0
        leftovers = self._store.count_leftovers(deadlines)
        return Purged(days=days, counts={"analyses": scans, **leftovers})

    def purge(self, should_stop: Callable[[], bool] = lambda: False) -> Purged:
        """Remove what is too old; if it is interrupted, the next one goes on.

        Args:
            should_stop: Asked after each analysis whether to leave the rest for later.

        Raises:
            StorageError: Something cannot be removed.
        """
        days, deadlines = self._deadlines()
        removed = self._purge_analyses(deadlines, should_stop)
        leftovers = self._store.remove_leftovers(deadlines)
        purged = Purged(days=days, counts={"analyses": removed, **leftovers})
        if purged.total:
            counts: dict[str, Any] = {
                kind.replace(" ", "_"): count for kind, count in purged.counts.items()
            }
            self._audit.record("retention.purged", actor=None, days=days, **counts)
        return purged

    def _purge_analyses(self, deadlines: Deadlines, should_stop: Callable[[], bool]) -> int:
        count, last = 0, None
        while deadlines.scans and not should_stop():
            found = self._store.analyses_before(deadlines.scans, BATCH, last)
            if not found:
                break
            for analysis_id in found:
                if should_stop():
                    break
                try:
                    self._remove_analysis(analysis_id)
                    count += 1
                except NotFoundError:
                    log.info("An analysis was removed twice at once.")
            last = found[-1]
        return count

    def _deadlines(self) -> tuple[int, Deadlines]:
        now, days = self._clock(), self._site_settings.get().retention_days
        return days, Deadlines(
            scans=now - timedelta(days=days) if days else None,
            sessions=now - self._session_max,
            links=now - KEPT_AFTER_EXPIRY,
            attempts=now - FORGOTTEN_AFTER,
            addresses=now - KNOWN_FOR,
        )


class RetentionSchedule:
    """Purges by itself while a server runs: soon after the start, then every hour.

    Args:
        service: Does it.
        first_after_s: When the first time, in seconds.
        every_s: How long from one to the next, in seconds.
    """

    def __init__(
        self,
        service: RetentionService,
        *,
        first_after_s: float = FIRST_AFTER_S,
        every_s: float = EVERY_S,
    ) -> None:
        self._service = service
        self._first_after_s = first_after_s
        self._every_s = every_s
        self._is_stopped = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin; a second call does nothing."""
        with self._lock:
            if self._thread is None and not self._is_stopped.is_set():
                self._thread = Thread(target=self._run, name="veriscan-retention", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End; a purge that is under way stops after the analysis at hand."""
        self._is_stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        wait_s = self._first_after_s
        while not self._is_stopped.wait(wait_s):
            wait_s = self._every_s
            try:
                purged = self._service.purge(self._is_stopped.is_set)
            except VeriscanError as error:
                log.error("What is too old could not be removed; it is tried again. %s", error)
            except Exception:  # a bug here must not end the schedule for good
                log.exception("What is too old could not be removed; it is tried again.")
            else:
                if purged.total:
                    log.info("Removed what was too old: %d items.", purged.total)
