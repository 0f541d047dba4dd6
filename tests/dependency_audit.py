"""Asks an advisory service about known holes in what is pinned, for ``make audit``.

pip-audit asks OSV, which knows Python's and GitHub's advisories. A known hole fails; where the
service is out of reach, one line says so and nothing fails, so that all else can be tested offline.
The service is also asked about a package that is known to have holes: one that has nothing to say
of that one, as a mirror without advisories, is no service.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OSV_URL = "https://api.osv.dev/v1/query"
CANARY = "django==2.0"  # not one of ours; it has had known holes for years
SOCKET_TIMEOUT_S = 5
TIMEOUT_S = 120  # for all pins together; each is a request of its own
KNOWN_HOLE, BROKEN = 1, 2  # exit codes


def audit(requirements: Sequence[Path], osv_url: str = OSV_URL) -> int:
    """Print what is known of the pins; return the exit code, 0 where nobody can be asked."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(f"{CANARY}\n", encoding="utf-8")
        packages = _asked([*requirements, canary], osv_url)
    ours = [package for package in packages if _pin(package) != CANARY]
    holes = [_sentence(package) for package in ours if package.get("vulns")]
    for hole in holes:
        print(f"KNOWN HOLE: {hole}")
    if holes:
        return KNOWN_HOLE
    if not any(package.get("vulns") for package in packages):
        return _explained(requirements)
    print(f"Dependency audit: no known hole in {len(ours)} pinned packages.")
    return 0


def _asked(requirements: Sequence[Path], osv_url: str) -> list[dict[str, Any]]:
    """Return each package with what is known of it; none where the service cannot be asked."""
    try:
        done = _pip_audit(requirements, "--vulnerability-service", "osv", "--osv-url", osv_url)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return packages


def _pin(package: dict[str, Any]) -> str:
    return f"{package['name']}=={package.get('version')}"


def _sentence(package: dict[str, Any]) -> str:
    found = (
        f"{hole['id']} (mended in {', '.join(hole['fix_versions']) or 'no version yet'})"
        for hole in package["vulns"]
    )
    return f"{_pin(package)} has {', '.join(found)}."


def _explained(requirements: Sequence[Path]) -> int:
    """Tell whether the files cannot be read, or merely nobody can be asked about them."""
    dry_run = _pip_audit(requirements, "--dry-run")  # which needs no network
    if dry_run.returncode:
        print(f"The dependency audit failed:\n{dry_run.stderr}")
        return BROKEN
    print("Dependency audit NOT DONE: the advisory service (OSV) is out of reach.")
    return 0


def _pip_audit(requirements: Sequence[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Run pip-audit.

    Raises:
        TimeoutExpired: It did not come to an end.
    """
    return subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"),
            *("--format", "json", "--desc", "off", "--progress-spinner", "off"),
            *("--timeout", str(SOCKET_TIMEOUT_S), *options),
            *(part for path in requirements for part in ("--requirement", str(path))),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(audit([Path(name) for name in sys.argv[1:]]))
