"""Starts one server after the other in a second each: what takes long to load is loaded once.

For each line on its standard input it forks a server as ``make run`` starts it, in a process group
of its own, and prints its process id. The servers are killed by whoever asked for them.
"""

import os
import signal
import sys

from gunicorn.app.wsgiapp import run

import app.factory  # noqa: F401 - loaded here, for all of them

ARGUMENTS = ["gunicorn", "--config", "app/gunicorn_conf.py", "wsgi:application"]


def main() -> None:
    """Fork a server for each line until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears the killed away
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(2, 1)
            sys.argv = ARGUMENTS
            run()
        print(pid, flush=True)


if __name__ == "__main__":
    main()
