"""Many clients at once for minutes: nobody sees a fault, and the server does not grow.

Each client sends a scan, reads its verdict, the list of its analyses and a page, and begins again;
one whom the full queue turns away waits as told. The network is a tiny one: what could grow is
everything around it.
"""

import json
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Event

from tests.benchmarks.harness import Client, Report, Running, Target, scans, target_of, veriscan
from tests.factories import publish_tiny_weights

CLIENTS = 64
MOST_GROWTH = 1.05
MOST_MORE = 8
"""Threads and files: both come and go with the connections that are open at the moment."""
SETTINGS = {
    "VERISCAN_QUEUE_SIZE": str(CLIENTS // 2),  # so that some are turned away
    # Where the machine is busy, a client may be kept from asking for longer than the usual 5 s,
    # and would find its connection closed.
    "GUNICORN_CMD_ARGS": "--keep-alive 75",
}
EXPECTED = ("200", "201", "202", "503")
WARM_UP_SHARE = 0.25
SAMPLES_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a server and its children take."""

    memory_mib: float
    files: int
    threads: int


def measure(minutes: float) -> Report:
    """Let the clients work for so long and compare the server's size before and after."""
    report = Report(name=f"{CLIENTS} clients for {minutes:g} minutes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish_tiny_weights(folder / "weights", "lung_ct")
        with veriscan(folder, folder / "weights", SETTINGS) as (server, secret):
            outcomes, sizes = _sizes_under_load(server, target_of(server, secret), 60 * minutes)
    _tell(report, outcomes, sizes)
    return report


def _sizes_under_load(
    server: Running, target: Target, duration_s: float
) -> tuple[Counter[str], list[Size]]:
    """Return how often each answer came, and the sizes that the server had meanwhile."""
    is_over, outcomes, sizes = Event(), Counter[str](), []
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_one_client, target, number, is_over) for number in range(CLIENTS)]
        deadline_s = time.monotonic() + duration_s
        while time.monotonic() < deadline_s:
            time.sleep(SAMPLES_S)
            sizes.append(_size_of(server))
        is_over.set()
        for client in clients:
            outcomes += client.result()
    return outcomes, sizes


def _one_client(target: Target, number: int, is_over: Event) -> Counter[str]:
    """Work until it is over; return how often each status came, or none, by the error's name."""
    outcomes, scan, client = Counter[str](), scans(4)[number % 4], Client(target.url)
    while not is_over.is_set():
        try:
            status, body = client.post(target, scan)
            outcomes[str(status)] += 1
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                is_over.wait(1)
                continue
            path = f"/api/v1/analyses/{json.loads(body)['id']}"
            for page in (path, "/api/v1/analyses", "/sign-in"):
                outcomes[str(client.get(page, target.headers))] += 1
        except (OSError, ValueError, KeyError) as error:
            outcomes[type(error).__name__] += 1
            client = Client(target.url)
    return outcomes


def _size_of(server: Running) -> Size:
    pids = server.family()
    return Size(
        memory_mib=server.resident_mib(),
        files=sum(_entries(Path(f"/proc/{pid}/fd")) for pid in pids),
        threads=sum(_entries(Path(f"/proc/{pid}/task")) for pid in pids),
    )


def _entries(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _tell(report: Report, outcomes: Counter[str], sizes: list[Size]) -> None:
    for outcome, count in sorted(outcomes.items()):
        if outcome in EXPECTED:
            report.tell(f"answers {outcome}", count, "")
        else:
            report.below(f"answers {outcome}", count, 0, "")
    warm = sizes[int(len(sizes) * WARM_UP_SHARE) :]
    third = max(1, len(warm) // 3)
    before, after = _typical(warm[:third]), _typical(warm[-third:])
    report.tell("memory at the end", after.memory_mib, "MiB")
    report.at_most("memory", after.memory_mib / before.memory_mib, MOST_GROWTH, "before")
    report.tell("files at the end", after.files, "")
    report.below("more files than before", after.files - before.files, MOST_MORE, "")
    report.tell("threads at the end", after.threads, "")
    report.below("more threads than before", after.threads - before.threads, MOST_MORE, "")


def _typical(sizes: list[Size]) -> Size:
    return Size(
        memory_mib=statistics.median(size.memory_mib for size in sizes),
        files=statistics.median_low([size.files for size in sizes]),
        threads=statistics.median_low([size.threads for size in sizes]),
    )
