"""Veriscan as ``make run`` starts it, on a free port and with its data in a folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ("-m", "gunicorn", "--config", "app/gunicorn_conf.py", "wsgi:application")
SERVE = (sys.executable, *COMMAND)
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
PATIENCE_S = 120


@dataclass(frozen=True)
class Server:
    """A running Veriscan.

    Attributes:
        url: Where it answers, without a slash at the end.
        data_dir: Where it stores.
        log: What it has printed goes here.
    """

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]


def start_server(
    folder: Path, weights_dir: Path, *, command: Sequence[str] = SERVE, **settings: str
) -> Server:
    """Start gunicorn as ``make run`` does, with its data in a folder, and wait until it answers.

    Args:
        folder: For its data and its log.
        weights_dir: The folder with ``active.toml``.
        command: What to run in place of that.
        settings: More variables of its environment.
    """
    port = free_port()
    data_dir, log = folder / "data", folder / "server.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VERISCAN_")} | {
        "PORT": str(port),
        "VERISCAN_DATA_DIR": str(data_dir),
        "VERISCAN_WEIGHTS_DIR": str(weights_dir),
        "VERISCAN_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        **settings,
    }
    with log.open("wb") as output:
        process = _started(command, environment, output)
    server = Server(f"http://127.0.0.1:{port}", data_dir, log, process)
    try:
        _wait_until_it_answers(server)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def stop_server(server: Server) -> int:
    """Ask the server to stop, as Ctrl-C does; return its exit status."""
    server.process.send_signal(signal.SIGINT)
    return server.process.wait(timeout=STOP_TIMEOUT_S)


def _started(
    command: Sequence[str], environment: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any]) -> Any:
    """Return the first thing that is true of what a condition gives, soon."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{server.log.read_text(errors='replace')}")
