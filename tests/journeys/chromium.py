"""The browser that the tests drive: found where one is installed, installed where that can be.

``python -m tests.journeys.chromium`` (which is ``make browser``) prints which one it is.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

COMMANDS = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge",
)
MACOS_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
INSTALL_TIMEOUT_S = 600


def is_continuous_integration() -> bool:
    """Whether a test that cannot run is a failure."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or a relative of it, or None."""
    for command in COMMANDS:
        if path := shutil.which(command):
            return path
    for application in (*MACOS_APPLICATIONS, _playwrights_own()):
        if Path(application).is_file():
            return application
    return None


def install_chromium() -> str | None:
    """Install one, if this machine lets us, and return its path; None if it does not."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        _run("apt-get", "update", "--quiet")
        _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium")
    if not find_chromium():
        _run(sys.executable, "-m", "playwright", "install", "chromium")
    return find_chromium()


def _playwrights_own() -> str:
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _run(*command: str) -> None:
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, check=False, timeout=INSTALL_TIMEOUT_S, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, flush=True)


def main() -> int:
    """Find or install a browser; return an exit status."""
    if path := find_chromium() or install_chromium():
        print(f"Browser tests will use {path}")
        return 0
    print("Browser tests need Chromium or Chrome, and none is installed nor could be installed.")
    return 1 if is_continuous_integration() else 0


if __name__ == "__main__":
    sys.exit(main())
