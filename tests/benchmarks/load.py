"""Puts a server under load from several clients at once, as people and scripts do."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.benchmarks.harness import Client, Target, scans


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a server did under load.

    Attributes:
        per_s: Scans answered a second.
        median_s: Of the duration of a request, in seconds.
        p99_s: 99th percentile of it, in seconds.
        failures: Requests that got no verdict.
    """

    per_s: float
    median_s: float
    p99_s: float
    failures: int


def put_under_load(target: Target, requests: int, clients: int) -> Load:
    """Post scans from several clients at once, each its next one when it has an answer."""
    images = scans(8)
    durations: list[float] = []
    failures: list[int] = []

    def one_client(number: int) -> None:
        client = Client(target.url)
        for turn in range(requests // clients):
            begin_s = time.perf_counter()
            status, _ = client.post(target, images[(number + turn) % len(images)])
            durations.append(time.perf_counter() - begin_s)
            if status not in (200, 201):
                failures.append(status)

    begin_s = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one_client, range(clients)))
    took_s = time.perf_counter() - begin_s
    ordered = sorted(durations)
    return Load(
        per_s=len(ordered) / took_s,
        median_s=statistics.median(ordered),
        p99_s=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        failures=len(failures),
    )
