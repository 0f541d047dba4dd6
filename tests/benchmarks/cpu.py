"""What CPU time a server takes, and for what; a busy machine changes it far less than durations.

Read from Linux's scheduler, of a server that runs as ``named_server.py`` does.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SERVING, ENGINE, DECODING, WAITING = "serving", "engine", "decoding", "waiting"
NS_PER_MS = 1e6
PAUSE_S = 0.02
MOST_PAUSES = 50
QUIET_NS = 20_000


class CpuMeter:
    """Tells what CPU time a server has taken since it was last asked.

    The engine's own threads and those of the runtime below it count as ``engine``, the processes
    that decode as ``decoding``, and all else as ``serving``. ``waiting`` is no CPU time: so long
    threads that could have gone on were kept waiting for a core, all taken together.

    Args:
        pid: Of the server's first process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._taken_ns()

    def lap_ms(self) -> dict[str, float]:
        """Wait until the server rests; return what it took since the last lap, in milliseconds.

        So what is done after an answer has left, such as its line in the audit trail, belongs to
        the request that it is done for.
        """
        after = self._taken_ns()
        for _ in range(MOST_PAUSES):
            time.sleep(PAUSE_S)
            last, after = after, self._taken_ns()
            if after.total() - last.total() < QUIET_NS:
                break
        before, self._before = self._before, after
        kinds = (SERVING, ENGINE, DECODING, WAITING)
        return {kind: (after[kind] - before[kind]) / NS_PER_MS for kind in kinds}

    def _taken_ns(self) -> Counter[str]:
        """Return what all processes and threads have taken since they began, in nanoseconds."""
        taken: Counter[str] = Counter()
        workers = _children(self._pid)
        for pid in (self._pid, *workers):
            for thread in _threads(pid):
                _add(taken, _kind_of(thread, pid), thread)
        for worker in workers:
            for decoder in _children(worker):
                for thread in _threads(decoder):
                    _add(taken, DECODING, thread)
        return taken


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _threads(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def _kind_of(thread: Path, pid: int) -> str:
    """Return for what a thread of the server works.

    A thread that Python did not begin bears the name of the one that began it: those of the
    runtime that of the engine's thread, or of the main thread, which loads the networks.
    """
    name = (thread / "comm").read_text()
    main_name = Path(f"/proc/{pid}/comm").read_text()
    is_of_runtime = name == main_name and thread.name != str(pid)
    return ENGINE if is_of_runtime or name.startswith("veriscan-engine") else SERVING


def _add(taken: Counter[str], kind: str, thread: Path) -> None:
    running_ns, waiting_ns, _ = map(int, (thread / "schedstat").read_text().split())
    taken[kind] += running_ns
    taken[WAITING] += waiting_ns
