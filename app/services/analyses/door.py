"""The way to the engine's queue: whoever would find it full is told so at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock

from app.engine.protocol import Engine

Entering = Callable[[], AbstractContextManager[None]]
"""Opens the block in which a scan goes from the way into the queue; others wait meanwhile."""


class Door:
    """Counts the scans that are being decoded and will want a place in the queue.

    Decoding takes its time and few scans are decoded at once. Without a count of those on the way,
    everybody beyond the queue's bound would wait for that, only to be turned away afterwards.

    Args:
        engine: Whose queue it is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._on_the_way: set[object] = set()

    def check(self) -> None:
        """Check that a scan which came now would find a place, before its body is even read.

        Raises:
            QueueFullError: It would not.
            EngineStoppedError: The engine has been stopped.
        """
        with self._lock:
            self._check()

    @contextmanager
    def passage(self) -> Iterator[Entering]:
        """Keep a place in the queue free for a scan while it is prepared.

        Submit it within ``with entering():``, where ``entering`` is what this gives. Whoever asks
        for room waits meanwhile, so no scan takes two places: one in the queue and the one kept
        free.

        Raises:
            QueueFullError: There will be none.
            EngineStoppedError: The engine has been stopped.
        """
        place = object()

        @contextmanager
        def entering() -> Iterator[None]:
            with self._lock:
                try:
                    yield
                finally:
                    self._on_the_way.discard(place)

        with self._lock:
            self._check()
            self._on_the_way.add(place)
        try:
            yield entering
        finally:
            with self._lock:
                self._on_the_way.discard(place)

    def _check(self) -> None:
        self._engine.check_room(len(self._on_the_way) + 1)
