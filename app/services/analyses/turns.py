"""A few turns that many want: whoever has the fewest comes next, so that nobody keeps them all."""

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Event, Lock


class FairTurns:
    """Lets a few in at a time, and the users by turns.

    Of those who wait comes next who has the fewest turns at the moment, and among equals who has
    waited longest since their last. While nobody else waits, one user may have all of them.

    Args:
        places: How many may have a turn at once, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = Lock()
        self._held: Counter[Hashable] = Counter()
        self._lines: dict[Hashable, deque[Event]] = {}  # whoever waits longest first

    @contextmanager
    def turn_of(self, who: Hashable) -> Iterator[None]:
        """Wait for a turn and keep it while the body runs."""
        self._enter(who)
        try:
            yield
        finally:
            self._leave(who)

    def _enter(self, who: Hashable) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._held[who] += 1
                return
            called = Event()
            self._lines.setdefault(who, deque()).append(called)
        called.wait()

    def _leave(self, who: Hashable) -> None:
        with self._lock:
            self._held[who] -= 1
            if not self._held[who]:
                del self._held[who]
            if self._lines:
                self._call_next()
            else:
                self._free += 1

    def _call_next(self) -> None:
        """Give the turn that has just ended to the next; the rest of their line goes last."""
        who = min(self._lines, key=self._held.__getitem__)
        line = self._lines.pop(who)
        line.popleft().set()
        self._held[who] += 1
        if line:
            self._lines[who] = line
