"""How soon a client is told that the queue is full, against a page that costs next to nothing.

The queue of a real server is filled and stays full. Each refused client has sent its whole scan:
what is measured is everything from the first byte of the request to the last of the answer.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

from tests.benchmarks.harness import Client, Report, Target, scans, target_of, veriscan
from tests.factories import publish_tiny_weights
from tests.journeys.held_server import COMMAND, holding

CHEAP_PAGE = "/api/v1/modalities"
MOST_MS = 100
MOST_OF_CHEAP_PAGE = 2
CLIENTS = 64
LARGE_BYTES = 20 * 2**20

Ask = Callable[[Client], int]


def measure(rounds: int) -> Report:
    """Measure refusals to one client and to many at once."""
    report = Report(name=f"a full queue, 512 × 512 PNG, 1 and {CLIENTS} clients")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish_tiny_weights(folder / "weights", "lung_ct")
        settings = {
            "HELD_BY": str(folder / "held"),
            "VERISCAN_QUEUE_SIZE": "2",
            "VERISCAN_VERDICT_WAIT_S": "0",
        }
        with (
            veriscan(folder, folder / "weights", settings, COMMAND) as (server, secret),
            holding(folder / "held"),
        ):
            target = target_of(server, secret)
            _fill(target)
            _measure(report, target, rounds)
    return report


def _fill(target: Target) -> None:
    client, scan = Client(target.url), scans(1)[0]
    while client.post(target, scan)[0] != HTTPStatus.SERVICE_UNAVAILABLE:
        pass


def _measure(report: Report, target: Target, rounds: int) -> None:
    scan, large = scans(1)[0], os.urandom(LARGE_BYTES)

    def cheap(client: Client) -> int:
        return client.get(CHEAP_PAGE, target.headers)

    def refused(client: Client) -> int:
        return client.post(target, scan)[0]

    for clients in (1, CLIENTS):
        pages_s = _durations_s(target, cheap, HTTPStatus.OK, rounds, clients)
        refusals_s = _durations_s(target, refused, HTTPStatus.SERVICE_UNAVAILABLE, rounds, clients)
        ratio = statistics.median(refusals_s) / statistics.median(pages_s)
        who = f"{clients} client{'s' if clients > 1 else ''}"
        p99_ms = 1000 * _p99(refusals_s)
        if clients == 1:
            report.at_most(f"a refusal, {who}", ratio, MOST_OF_CHEAP_PAGE, CHEAP_PAGE)
            report.below(f"99 of 100 refusals, {who}", p99_ms, MOST_MS, "ms")
        else:  # all at once and without a pause, they wait for each other whatever they ask for
            report.tell(f"a refusal, {who}", ratio, baseline=CHEAP_PAGE)
            report.tell(f"99 of 100 refusals, {who}", p99_ms, "ms")
    largest_s = _durations_s(
        target,
        lambda client: client.post(target, large)[0],
        HTTPStatus.SERVICE_UNAVAILABLE,
        rounds,
        clients=1,
    )
    median_ms = 1000 * statistics.median(largest_s)
    report.tell(f"a refusal of {LARGE_BYTES // 2**20} MiB, sending included", median_ms, "ms")


def _durations_s(
    target: Target, ask: Ask, expected: HTTPStatus, rounds: int, clients: int
) -> list[float]:
    """Return how long answers took to clients that each ask again and again."""

    def one_client(_number: int) -> list[float]:
        client, durations = Client(target.url), []
        for _ in range(rounds + 1):
            begin_s = time.perf_counter()
            status = ask(client)
            durations.append(time.perf_counter() - begin_s)
            if status != expected:
                raise RuntimeError(f"The server answered {status} where {expected} was due.")
        return durations[1:]  # the first one connects

    with ThreadPoolExecutor(clients) as pool:
        return [one for each in pool.map(one_client, range(clients)) for one in each]


def _p99(durations_s: list[float]) -> float:
    return statistics.quantiles(durations_s, n=100, method="inclusive")[98]
