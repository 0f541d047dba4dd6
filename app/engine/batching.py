"""The bounded queue in front of the networks, and how it forms batches."""

import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.engine.protocol import Judgement
from app.errors import EngineError, EngineStoppedError, QueueFullError

if TYPE_CHECKING:
    from torch import Tensor

    from app.engine.serving import Serving

PACE_BATCHES = 32
FIRST_GUESS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaitingScan:
    """A prepared scan with the future that its sender holds.

    Attributes:
        serving: What prepared it, and will judge it even if its modality is served by something
            else by then.
        square: The scan at the size that the network reads, grey values, float32 in [0, 1],
            shape ``[S, S]``.
        height: Of the scan before it was prepared, in pixels.
        width: Of the scan before it was prepared, in pixels.
        thumbnail: What the gate reads, grey values, float32 in [0, 1], shape ``[T, T]``; None
            where there is no gate.
        override_gate: Whether it is judged whatever the gate says.
    """

    serving: "Serving"
    square: "Tensor"
    height: int
    width: int
    thumbnail: "Tensor | None" = None
    override_gate: bool = False
    future: "Future[Judgement]" = field(default_factory=Future)

    def claim(self) -> bool:
        """Mark the scan as running; False if its sender has cancelled it."""
        return self.future.set_running_or_notify_cancel()

    def succeed(self, judgement: Judgement) -> None:
        """Answer the sender, unless somebody has already."""
        with suppress(InvalidStateError):
            self.future.set_result(judgement)

    def fail(self, error: EngineError) -> None:
        """Tell the sender what went wrong, unless somebody has answered already."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class Pace:
    """How quickly scans have been judged lately. Safe for use by many threads."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, float]] = deque(maxlen=PACE_BATCHES)

    def record(self, scans: int, seconds: float) -> None:
        """Remember that a batch of ``scans`` took ``seconds``."""
        self._batches.append((scans, seconds))

    def estimate_s(self, scans: int) -> int:
        """Return in how many whole seconds ``scans`` will have been judged, at least 1."""
        batches = tuple(self._batches)
        judged = sum(count for count, _ in batches)
        seconds = sum(duration for _, duration in batches)
        per_scan_s = seconds / judged if judged else FIRST_GUESS_S
        return max(1, math.ceil(per_scan_s * scans))


class ScanQueue:
    """Waiting scans in the order of arrival, never more than a fixed number.

    Args:
        max_scans: How many may wait, at least 1; those being judged do not count.
        pace: Tells for how long to turn senders away when the queue is full.
    """

    def __init__(self, max_scans: int, pace: Pace) -> None:
        if max_scans < 1:
            raise ValueError(f"max_scans must be 1 or more, got {max_scans}")
        self._max_scans = max_scans
        self._pace = pace
        self._waiting: list[WaitingScan] = []
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    @property
    def is_closed(self) -> bool:
        """Whether the queue takes no scans any more."""
        return self._is_closed

    def check_room(self, scans: int = 1) -> None:
        """Check that so many scans could be put now, before any work is spent on them.

        Raises:
            EngineStoppedError: The queue is closed.
            QueueFullError: It is full.
        """
        with self._changed:
            if self._is_closed:
                raise EngineStoppedError
            if len(self._waiting) + scans > self._max_scans:
                raise QueueFullError(self._pace.estimate_s(len(self._waiting)))

    def put(self, scan: WaitingScan) -> None:
        """Add a scan at the end; raises as ``check_room`` does."""
        with self._changed:
            self.check_room()
            self._waiting.append(scan)
            self._changed.notify()

    def take(self, batch_limit: Callable[["Serving"], int]) -> list[WaitingScan]:
        """Wait for scans and take a batch: the oldest and others for the same network, in order.

        Nothing waits for a batch to fill: a scan that comes to an idle engine leaves at once, and
        under load the scans that gather behind a running batch make up the next one.

        Args:
            batch_limit: The largest batch of what serves a modality.

        Returns:
            At least one scan; none once the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return []
            serving = self._waiting[0].serving
            limit = batch_limit(serving)
            batch = [scan for scan in self._waiting if scan.serving is serving][:limit]
            taken = set(map(id, batch))
            self._waiting = [scan for scan in self._waiting if id(scan) not in taken]
            return batch

    def close(self) -> list[WaitingScan]:
        """Take no more scans and return those that were waiting."""
        with self._changed:
            self._is_closed = True
            remaining, self._waiting = self._waiting, []
            self._changed.notify_all()
            return remaining
