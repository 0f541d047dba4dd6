"""A real server whose queue is full: it says so at once, and what it has accepted it judges.

``python -m tests.benchmarks overload`` measures how soon it says so.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.factories import png_bytes
from tests.journeys import held_server
from tests.journeys.server import start_server, stop_server
from tests.journeys.visitor import Visitor, make_token

QUEUE_SIZE = 2
AT_ONCE = 16
PATIENCE_S = 120


@pytest.fixture
def visitor(tmp_path: Path, decided_weights_dir: Path) -> Iterator[Visitor]:
    """Somebody with a token for a server that has room for few scans and can be held."""
    token = make_token(tmp_path / "data", decided_weights_dir)
    server = start_server(
        tmp_path,
        decided_weights_dir,
        command=(sys.executable, *held_server.COMMAND),
        HELD_BY=str(tmp_path / "held"),
        VERISCAN_QUEUE_SIZE=str(QUEUE_SIZE),
        VERISCAN_VERDICT_WAIT_S="0",
        VERISCAN_API_REQUESTS_PER_MIN="0",  # it is asked again and again until all are judged
    )
    yield Visitor(server, token)
    stop_server(server)


def test_beyond_the_bound_clients_are_refused_at_once_and_accepted_scans_are_judged(
    visitor: Visitor, tmp_path: Path
) -> None:
    accepted = set()
    with held_server.holding(tmp_path / "held"):
        while (answer := visitor.send(png_bytes())).status == 202:
            accepted.add(answer.json["id"])
        # Nothing of these is decoded, or it would be found to be no image.
        bodies = [b"no image", bytes(8 * 2**20)] + [b"no image"] * (AT_ONCE - 2)
        with ThreadPoolExecutor(AT_ONCE) as clients:
            refusals = [answer, *clients.map(visitor.send, bodies)]

    assert QUEUE_SIZE <= len(accepted) <= QUEUE_SIZE + 1
    for refusal in refusals:
        assert refusal.status == 503
        seconds = int(refusal.headers["Retry-After"])
        assert refusal.json["detail"] == (
            f"Too many analyses are waiting. Try again in about {seconds} seconds."
        )
    assert wait_until_all_are_judged(visitor) == accepted
    assert visitor.send(b"no image").status == 415
    assert visitor.send(png_bytes()).status in (201, 202)


def wait_until_all_are_judged(visitor: Visitor) -> set[str]:
    """Return the ids of all analyses once each has its verdict."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        analyses = visitor.ask("GET", "/api/v1/analyses").json["analyses"]
        if {analysis["status"] for analysis in analyses} == {"done"}:
            return {analysis["id"] for analysis in analyses}
        assert time.monotonic() < deadline_s, analyses
        time.sleep(0.1)
