"""How long a start takes, what memory the server holds, and whether that grows with the requests.

The requests of the growth go to a tiny network: what could grow is everything around it.
"""

import tempfile
from pathlib import Path

from tests.benchmarks.harness import Report, target_of, veriscan
from tests.benchmarks.load import put_under_load
from tests.factories import publish_tiny_weights

MOST_READY_S = 10
MOST_MIB = 1536
MOST_GROWTH = 1.05
WARM_UP = 500
CLIENTS = 16


def measure(weights_dir: Path, requests: int) -> Report:
    """Measure the start with the real weights and the growth with tiny ones."""
    report = Report(name="start and memory")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with veriscan(folder / "first", weights_dir) as (server, _):
            report.tell("first start, which exports the graphs", server.ready_s, "s")
        # The account is there already: only the folder of the graphs is handed on.
        (folder / "second" / "data").mkdir(parents=True)
        (folder / "first/data/graphs").rename(folder / "second/data/graphs")
        with veriscan(folder / "second", weights_dir) as (server, secret):
            report.below("start with stored graphs", server.ready_s, MOST_READY_S, "s")
            for modality in ("lung_ct", "knee_xray"):
                put_under_load(target_of(server, secret, modality), CLIENTS, CLIENTS)
            report.below("memory, both modalities", server.resident_mib(), MOST_MIB, "MiB")
        publish_tiny_weights(folder / "weights", "lung_ct")
        with veriscan(folder / "third", folder / "weights") as (server, secret):
            target = target_of(server, secret)
            put_under_load(target, WARM_UP, CLIENTS)
            before_mib = server.resident_mib()
            load = put_under_load(target, requests, CLIENTS)
            growth = server.resident_mib() / before_mib
            report.at_most(f"memory after {requests} more requests", growth, MOST_GROWTH, "before")
            report.below("requests without a verdict", load.failures, 0, "")
    return report
