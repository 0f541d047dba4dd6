"""How often a minute each API token may be used.

The counts are in the memory of the one serving process: that makes them exact, and a request that
only reads stays one, where a count in SQL would write to the disk each time. They protect the
server's time and not a secret, so that it does no harm if a restart forgets them.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from app.services.clock import Clock

WINDOW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a token has left.

    Attributes:
        limit: How often it may be used in a window of one minute.
        remaining: How often still, in the present one.
        reset_s: In how many seconds, at least 1, the next window begins.
        is_exceeded: Whether the present use is one too many.
    """

    limit: int
    remaining: int
    reset_s: int
    is_exceeded: bool


class RateLimiter:
    """Counts the uses of each token, in windows that begin with its first use.

    Args:
        limit: How often each may be used a minute; 0 is without limit.
        clock: Tells the time.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[UUID, tuple[datetime, int]] = {}

    def take(self, token_id: UUID) -> Allowance | None:
        """Count one use of a token; returns None where there is no limit."""
        if not self._limit:
            return None
        now = self._clock()
        with self._lock:
            begun, used = self._windows.get(token_id, (now, 0))
            if used == 0 or now - begun >= WINDOW:
                begun, used = now, 0
                self._forget_old(now)
            used += 1
            self._windows[token_id] = (begun, used)
        return Allowance(
            limit=self._limit,
            remaining=max(0, self._limit - used),
            reset_s=max(1, math.ceil((begun + WINDOW - now).total_seconds())),
            is_exceeded=used > self._limit,
        )

    def _forget_old(self, now: datetime) -> None:
        """Keep no more windows than are open, so that memory stays bounded."""
        self._windows = {
            token_id: window
            for token_id, window in self._windows.items()
            if now - window[0] < WINDOW
        }
