"""What HTTP, decoding, storing and pages cost besides inference, at the median.

The network is a tiny one, so that the engine's share, which the answer names, is small and can be
taken off.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.harness import Client, Report, Target, scans, target_of, veriscan
from tests.factories import publish_tiny_weights

MOST_OVERHEAD_MS = 15
MOST_PAGE_MS = 10
PAGES = ("/", "/sign-in", "/register", "/healthz", "/api/v1/analyses", "/api/v1/modalities")


def measure(rounds: int) -> Report:
    """Measure the API and pages on a server of its own."""
    report = Report(name="HTTP besides inference, 512 × 512 PNG, one client")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish_tiny_weights(folder / "weights", "lung_ct")
        with veriscan(folder, folder / "weights") as (server, secret):
            client, target = Client(server.url), target_of(server, secret)
            overheads = [_overhead_ms(client, target, scan) for scan in scans(rounds)]
            report.below("judging a scan", statistics.median(overheads[1:]), MOST_OVERHEAD_MS, "ms")
            for path in PAGES:
                times = [_page_ms(client, path, target.headers) for _ in range(rounds)]
                report.below(path, statistics.median(times[1:]), MOST_PAGE_MS, "ms")
    return report


def _overhead_ms(client: Client, target: Target, scan: bytes) -> float:
    begin_s = time.perf_counter()
    _, body = client.post(target, scan)
    took_ms = (time.perf_counter() - begin_s) * 1000
    return took_ms - float(json.loads(body)["inference_ms"])


def _page_ms(client: Client, path: str, headers: Mapping[str, str]) -> float:
    begin_s = time.perf_counter()
    client.get(path, headers)
    return (time.perf_counter() - begin_s) * 1000
