"""The way to the engine's queue: whoever would find it full is told so at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from app.engine.protocol import Engine


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
        self._on_the_way = 0

    def check(self) -> None:
        """Check that a scan which came now would find a place, before its body is even read.

        Raises:
            QueueFullError: It would not.
            EngineStoppedError: The engine has been stopped.
        """
        self._engine.check_room(self._on_the_way + 1)

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Keep a place in the queue free for a scan while it is prepared and submitted.

        Raises:
            QueueFullError: There will be none.
            EngineStoppedError: The engine has been stopped.
        """
        with self._lock:
            self._engine.check_room(self._on_the_way + 1)
            self._on_the_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._on_the_way -= 1
