"""How often a minute something may be done: by each user of the API, from each address.

The counts are in the memory of the one serving process: that makes them exact, and a request that
only reads stays one, where a count in SQL would write to the disk each time. They protect the
server's time and not a secret, so that it does no harm if a restart forgets them.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from app.services.clock import Clock

WINDOW = timedelta(minutes=1)
REPORT_CHECKS_PER_MIN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What somebody has left.

    Attributes:
        limit: How often they may do it in a window of one minute.
        remaining: How often still, in the present one.
        reset_s: In how many seconds, at least 1, the next window begins.
        is_exceeded: Whether the present time is one too many.
    """

    limit: int
    remaining: int
    reset_s: int
    is_exceeded: bool


class RateLimiter:
    """Counts how often each does it, in windows that begin with the first time.

    Args:
        limit: How often each may do it a minute; 0 is without limit.
        clock: Tells the time.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[Hashable, tuple[datetime, int]] = {}  # the oldest first

    def take(self, who: Hashable) -> Allowance | None:
        """Count one time; returns None where there is no limit."""
        if not self._limit:
            return None
        now = self._clock()
        with self._lock:
            self._forget_old(now)
            begun, used = self._windows.get(who, (now, 0))
            used += 1
            self._windows[who] = (begun, used)
        return Allowance(
            limit=self._limit,
            remaining=max(0, self._limit - used),
            reset_s=max(1, math.ceil((begun + WINDOW - now).total_seconds())),
            is_exceeded=used > self._limit,
        )

    def _forget_old(self, now: datetime) -> None:
        """Keep no more windows than are open, so that memory stays bounded."""
        while self._windows:
            oldest = next(iter(self._windows))
            # One that lies ahead was begun before the clock was set back, and would never end.
            if timedelta(0) <= now - self._windows[oldest][0] < WINDOW:
                return
            del self._windows[oldest]


class RateLimits:
    """What is limited, each with counts of its own.

    Args:
        api_requests_per_min: How often each user may use the API; 0 is without limit.
        clock: Tells the time.

    Attributes:
        api_requests: Uses of the API, by user: more tokens give nobody more of them.
        report_checks: Reports and images checked without an account, by address.
        refusals: Refused accesses, by user and page: so many of them are recorded.
    """

    def __init__(self, api_requests_per_min: int, clock: Clock) -> None:
        self.api_requests = RateLimiter(api_requests_per_min, clock)
        self.report_checks = RateLimiter(REPORT_CHECKS_PER_MIN, clock)
        self.refusals = RateLimiter(1, clock)
