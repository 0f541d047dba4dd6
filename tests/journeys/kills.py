"""Kills a server at random moments under load and checks afterwards that nothing was lost.

``python -m tests.journeys.kills --kills 200`` does it often and prints how it went; the suite does
it a few times. Clients register, upload and delete. What the server confirmed must be there after
each kill, accepted analyses must come to an end, nothing half-done may show, and the chain of the
audit trail must hold.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import click

from tests.journeys.kill_rig import Site
from tests.journeys.server import ROOT


def kill_often(site: Site, kills: int, until_s: float) -> int:
    """Kill and check again and again, once at least; return how many kills there were.

    Raises:
        LostError: Something was lost.
    """
    done = 0
    site.start()
    while done < kills and (done == 0 or time.monotonic() < until_s):
        site.load_and_kill()
        done += 1
        site.check_files()
        site.start()
        site.check_answers()
    return done


@click.command()
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True)
@click.option("--minutes", type=click.FloatRange(0), default=60, show_default=True)
@click.option("--seed", type=int, default=4711, show_default=True)
def main(kills: int, minutes: float, seed: int) -> None:
    """Kill a server often, or for so long, and tell what it had confirmed by then."""
    with tempfile.TemporaryDirectory() as folder, closing(Site(Path(folder), seed)) as site:
        done = kill_often(site, kills, time.monotonic() + 60 * minutes)
        known = site.ledger
        print(
            f"{done} kills: {len(known.names)} registrations, {len(known.analyses)} analyses and "
            f"{len(known.deleted)} deletions were confirmed, and nothing of it was lost."
        )
        verified = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "verify-audit"],
            cwd=ROOT, env=os.environ | {"VERISCAN_DATA_DIR": str(site.data_dir)}, check=False,
        )  # fmt: skip
        sys.exit(verified.returncode)


if __name__ == "__main__":
    main()
