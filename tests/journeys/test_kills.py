"""A server is killed at random moments under load; nothing that it confirmed is lost.

``python -m tests.journeys.kills`` does the same many more times.
"""

import time
from contextlib import closing
from pathlib import Path

from tests.journeys.kill_rig import Site
from tests.journeys.kills import kill_often

KILLS = 3
ENOUGH_S = 15


def test_nothing_confirmed_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    with closing(Site(tmp_path, seed=4711)) as site:
        assert kill_often(site, KILLS, time.monotonic() + ENOUGH_S) > 0
