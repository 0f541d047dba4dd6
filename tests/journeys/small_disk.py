"""A server whose data lies on a small disk of its own, to be filled and to be made read-only.

The disk is a tmpfs in a mount namespace that an ordinary user may make on most Linux systems. The
test reaches it through the server's process, and it is gone when that ends.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.server import ROOT, SERVE, Server, start_server

DISK_BYTES = 24 * 2**20
PAGE = bytes(4096)
BALLAST = "ballast"
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


def why_there_is_none() -> str | None:
    """Return why no small disk can be made here; None where one can."""
    try:
        subprocess.run(
            [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True, capture_output=True
        )
    except OSError as error:
        return f"there is no unshare: {error.strerror}"
    except subprocess.CalledProcessError as error:
        return f"no disk can be mounted here: {error.stderr.decode().strip()}"
    return None


@dataclass(frozen=True)
class SmallDisk:
    """The disk of a running server.

    Attributes:
        server: Whose data folder it is.
    """

    server: Server

    @property
    def path(self) -> Path:
        """The disk's folder, as it is reached from outside of the namespace."""
        root = Path(f"/proc/{self.server.process.pid}/root")
        return root / self.server.data_dir.relative_to("/")

    def fill(self) -> None:
        """Write until not one more page fits."""
        with (self.path / BALLAST).open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(PAGE)
            except OSError:
                return

    def free(self) -> None:
        """Remove what ``fill`` has written."""
        (self.path / BALLAST).unlink()

    def make_read_only(self) -> None:
        """Let no file on it be opened for writing any more."""
        folder = shlex.quote(str(self.server.data_dir))
        self.run("sh", "-c", f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}")

    def make_writable(self) -> None:
        """Undo ``make_read_only``."""
        self.run("umount", "--lazy", str(self.server.data_dir))

    def run(self, *command: str) -> str:
        """Run a command that sees the disk where the server does; return what it printed."""
        inside = ("nsenter", "--target", str(self.server.process.pid), "--user", "--mount")
        arguments = [*inside, "--preserve-credentials", f"--wd={ROOT}", *command]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def verify_audit(self) -> str:
        """Check the audit trail, as an administrator does; return what was said."""
        folder = f"VERISCAN_DATA_DIR={self.server.data_dir}"
        return self.run(
            "env", folder, sys.executable, "-m", "flask", "--app", "wsgi", "verify-audit"
        )


def start_on_small_disk(
    folder: Path, weights_dir: Path, *, serve: Sequence[str] = SERVE, **settings: str
) -> SmallDisk:
    """Start a server on a small disk that holds what lies in ``folder/data``.

    Args:
        folder: For its log, and where the disk appears.
        weights_dir: The folder with ``active.toml``.
        serve: The command of the server.
        settings: More variables of its environment.
    """
    data_dir = folder / "data"
    data_dir.mkdir(exist_ok=True)
    temporary = data_dir / "tmp"  # on most servers, uploads on their way share the disk
    script = (
        'set -e; cp -a "$1" "$1.before"; mount -t tmpfs -o "size=$2,mode=700" tmpfs "$1"; '
        'cp -a "$1.before/." "$1"; mkdir "$1/tmp"; shift 2; exec "$@"'
    )
    command = [*UNSHARE, "sh", "-c", script, "sh", str(data_dir), str(DISK_BYTES), *serve]
    server = start_server(folder, weights_dir, command=command, TMPDIR=str(temporary), **settings)
    return SmallDisk(server)
