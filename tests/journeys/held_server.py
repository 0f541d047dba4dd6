"""Serves as ``make run`` does, but its engine judges nothing while a test holds a file.

So the queue of a real server can be filled, and stays full for as long as the test wants. The
environment names the file, ``HELD_BY``; ``holding`` locks it.
"""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gunicorn.app.wsgiapp import run

from app.engine.batching import WaitingScan
from app.engine.engine import InProcessEngine
from app.engine.serving import Serving

COMMAND = ("-m", "tests.journeys.held_server")
ARGUMENTS = ["gunicorn", "--config", "app/gunicorn_conf.py", "wsgi:application"]


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Let the engines that are held by this file wait before their next scan."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Serve."""
    judge, held_by = InProcessEngine._judge, Path(os.environ["HELD_BY"])

    def judge_when_let_go(
        self: InProcessEngine, serving: Serving, scans: Sequence[WaitingScan]
    ) -> None:
        with held_by.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        judge(self, serving, scans)

    InProcessEngine._judge = judge_when_let_go  # type: ignore[method-assign]  # to hold it
    sys.argv = ARGUMENTS
    run()


if __name__ == "__main__":
    main()
