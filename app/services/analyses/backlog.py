"""The line in front of the engine: scans that are stored wait here until it has room for them."""

import logging
from threading import Event, Lock, Thread
from time import monotonic
from uuid import UUID

from app.engine.protocol import CUDA, Engine
from app.errors import (
    EngineStoppedError,
    NotFoundError,
    QueueFullError,
    StorageError,
    VeriscanError,
)
from app.records import Analysis
from app.services.analyses.judging import RETRY_S, JudgingService
from app.storage.analyses import AnalysisStore

GPU_FEED = 16
"""So many scans wait inside the engine while more wait in the store: enough for its batches, and
few enough that somebody who comes now does not wait for a whole series of somebody else."""
GPU_FEED_BELOW = 8  # and only then are more brought in, several at a time
CPU_FEED = 2
"""A CPU judges one scan at a time and takes up to a second for it: one is always at hand."""
LINE_KEPT_S = 1.0

log = logging.getLogger(__name__)


class Backlog:
    """Brings waiting scans to the engine as it finds room; the line itself is in the store.

    So it may be as long as the disk is large, and outlives a restart. It is fair: the first scan
    of each user comes before the second of anybody.

    Args:
        engine: Judges the scans.
        store: Where the analyses are.
        judging: Hands the scans over and says which it has.
    """

    def __init__(self, engine: Engine, store: AnalysisStore, judging: JudgingService) -> None:
        self._engine = engine
        self._store = store
        self._judging = judging
        self._starting = Lock()
        self._thread: Thread | None = None
        self._closing = Event()
        self._wake = Event()
        self._line: tuple[float, dict[UUID, int]] = (-LINE_KEPT_S, {})
        # Spares the store a question after every single scan: whether anybody may wait there.
        self._may_wait = True
        self._asked_s = -RETRY_S
        judging.when_room = self._wake.set

    def has_room_now(self) -> bool:
        """Return whether a new scan need not wait in the store, behind or before others there."""
        has_place = self._engine.queue_length() < self._feed
        return has_place and not (self._may_wait and self._waiting(1))

    @property
    def _feed(self) -> int:
        """How many scans wait inside the engine, at most."""
        return GPU_FEED if self._engine.device == CUDA else CPU_FEED

    @property
    def _feed_below(self) -> int:
        """Below how many that wait inside the engine more are brought in."""
        return GPU_FEED_BELOW if self._engine.device == CUDA else CPU_FEED

    @property
    def has_started(self) -> bool:
        """Whether waiting scans are being taken up."""
        return self._thread is not None

    def start(self) -> None:
        """Take up, in the background, what waits; returns at once. A second call does nothing."""
        with self._starting:
            if self._thread is not None:
                return
            self._thread = Thread(target=self._work, name="veriscan-backlog", daemon=True)
            self._wake.set()
            self._thread.start()

    def look(self) -> None:
        """Take up a scan that now waits in the store, as soon as there is room; returns at once."""
        self._may_wait = True
        self._wake.set()

    def close(self) -> None:
        """Bring nothing more to the engine; what waits is taken up at the next start."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def place_of(self, analysis_id: UUID) -> int:
        """Return a scan's place in line, from 1; 0 where it does not wait (any more).

        It may be a second old.
        """
        seen_s, line = self._line
        if monotonic() - seen_s >= LINE_KEPT_S:
            stored = self._store.line()  # first: one that is taken up meanwhile is then in hand
            in_hand = self._judging.in_hand()
            waiting = [found for found, waits in in_hand.items() if waits]
            waiting += [found for found in stored if found not in in_hand]
            line = {found: place for place, found in enumerate(waiting, start=1)}
            self._line = (monotonic(), line)
        return line.get(analysis_id, 0)

    # --- the thread -------------------------------------------------------------------------

    def _work(self) -> None:
        is_left_over = False
        while not self._closing.is_set():
            self._wake.wait(RETRY_S if is_left_over else None)
            self._wake.clear()
            try:
                is_left_over = self._fill()
            except EngineStoppedError:
                return
            except Exception:  # the database is away for a moment …
                log.exception("The line of waiting scans could not be served.")
                is_left_over = True
            if is_left_over:
                self._may_wait = True

    def _fill(self) -> bool:
        """Bring scans to the engine; return whether to try again soon without being asked."""
        is_left_over = self._judging.reconsider()
        if self._engine.queue_length() >= self._feed_below:
            return is_left_over  # the next scan that is finished asks again
        if not self._may_wait and monotonic() - self._asked_s < RETRY_S:
            return is_left_over
        while waiting := self._next():
            for analysis in waiting:
                if self._closing.is_set():
                    return False
                try:
                    self._take_up(analysis)
                except QueueFullError:
                    return True
        return is_left_over

    def _next(self) -> list[Analysis]:
        """Return the scans for which the engine has room now."""
        room = self._feed - self._engine.queue_length()
        if room <= 0:
            return []
        self._may_wait, self._asked_s = False, monotonic()  # first: ``look`` may come meanwhile
        waiting = self._waiting(room)
        if waiting:
            self._may_wait = True
        return waiting

    def _waiting(self, limit: int) -> list[Analysis]:
        """Return the first analyses in line that the engine does not have."""
        first = self._store.first_in_line(limit + self._judging.count)
        return [analysis for analysis in first if not self._judging.has(analysis.id)][:limit]

    def _take_up(self, analysis: Analysis) -> None:
        try:
            self._judging.begin_stored(analysis)
        except (EngineStoppedError, QueueFullError, StorageError):
            raise
        except NotFoundError:
            log.info("A waiting scan was deleted before its turn.")
        except VeriscanError as error:
            self._judging.give_up(analysis, error)
        except Exception as error:  # whatever is wrong with this one, the others go on
            log.exception("A waiting scan could not be taken up.")
            self._judging.give_up(analysis, error)
