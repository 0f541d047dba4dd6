"""Serves as ``make run`` does, but its threads tell the system the names that Python gives them.

So the CPU time of each kind of thread can be read from outside, see ``cpu.py``.
"""

import ctypes
import sys
import threading
from types import FrameType

from gunicorn.app.wsgiapp import run

COMMAND = ("-m", "tests.benchmarks.named_server")
ARGUMENTS = ["gunicorn", "--config", "app/gunicorn_conf.py", "wsgi:application"]
PR_SET_NAME = 15  # <linux/prctl.h>
PRCTL = ctypes.CDLL(None).prctl


def main() -> None:
    """Serve."""
    threading.setprofile(_tell_name)  # called first of all in each new thread
    sys.argv = ARGUMENTS
    run()


def _tell_name(_frame: FrameType, _event: str, _argument: object) -> None:
    sys.setprofile(None)  # once is enough, and the rest of the thread runs as it always does
    PRCTL(PR_SET_NAME, threading.current_thread().name.encode())


if __name__ == "__main__":
    main()
