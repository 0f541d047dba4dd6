"""A PostgreSQL of the tests' own: found or installed, started when the first test needs it.

``python -m tests.postgresql`` installs it where it is missing and Debian packages can be had;
without one, the tests that need it are skipped and say why. Where ``TEST_DATABASE_URL`` names a
database of a server that runs already, that one is used, and emptied.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

DATABASE_URL = "TEST_DATABASE_URL"
DEBIAN_FOLDER = Path("/usr/lib/postgresql")  # from where Debian puts nothing on the PATH
UNPRIVILEGED = "postgres"
START_TIMEOUT_S = 60


def url() -> str:
    """Return the URL of a database that may be emptied; skip the test where there is none."""
    given = os.environ.get(DATABASE_URL)
    if given:
        return given
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(f"PostgreSQL is not installed, and {DATABASE_URL} names no database")
    return _started(binaries)


def find_binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL on this machine, or None."""
    candidates = sorted(DEBIAN_FOLDER.glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    if on_path:
        candidates.insert(0, Path(on_path).resolve().parent)
    usable = [path for path in candidates if (path / "initdb").exists()]
    return usable[-1] if usable else None


@functools.cache
def _started(binaries: Path) -> str:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(cluster(binaries))


@contextmanager
def cluster(binaries: Path) -> Iterator[str]:
    """Run a new cluster that listens only on a socket in a folder of its own; give its URL."""
    with tempfile.TemporaryDirectory(prefix="veriscan-postgresql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:  # as which PostgreSQL refuses to run
            shutil.chown(folder, UNPRIVILEGED)
        data = folder / "data"
        _run(binaries / "initdb", "-D", data, "-A", "trust", "-U", "veriscan", "-E", "UTF8")
        # The tests kill clients, not this server, so it need not wait for the disk.
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        control = (binaries / "pg_ctl", "-D", data, "-w", "-t", START_TIMEOUT_S)
        _run(*control, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://veriscan@/postgres?host={folder}"
        finally:
            _run(*control, "-m", "immediate", "stop")


def _run(*command: object) -> None:
    subprocess.run(
        [str(part) for part in command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=UNPRIVILEGED if os.geteuid() == 0 else None,
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
    )


def install() -> str:
    """Install PostgreSQL where that can be done; return one sentence about how it went."""
    if find_binaries():
        return f"PostgreSQL for the tests is in {find_binaries()}."
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "PostgreSQL is not installed, so the tests that need it are skipped."
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update"], check=False, env=environment, capture_output=True)
    subprocess.run(command, check=False, env=environment, capture_output=True)
    if find_binaries():
        return f"PostgreSQL for the tests was installed in {find_binaries()}."
    return "PostgreSQL cannot be installed, so the tests that need it are skipped."


if __name__ == "__main__":
    print(install())
