"""Veriscan, the document's recipe and LitServe under equal load, with the same weights.

The others run the network once a scan. Veriscan is measured twice: as it is, with gate, stability
check, storing and audit trail, which is up to five runs a scan; and its engine alone is compared
run for run in ``engine_path``.
"""

import importlib.util
import tempfile
from pathlib import Path

from tests.benchmarks.harness import Report, Target, running, veriscan
from tests.benchmarks.harness import target_of as veriscan_target
from tests.benchmarks.load import Load, put_under_load

CLIENTS = 8


def measure(weights_dir: Path, modality: str, requests: int) -> Report:
    """Put each server under load, one after the other, twice; the better run of each counts."""
    report = Report(name=f"servers under equal load, {modality}, {CLIENTS} clients")
    environment = {"WEIGHTS": str(weights_dir), "MODALITY": modality}
    others = {"recipe": "tests.benchmarks.recipe"}
    if importlib.util.find_spec("litserve") is None:
        report.skipped.append("LitServe (not installed: `make bench` does)")
    else:
        others["LitServe"] = "tests.benchmarks.litserve_server"
    loads: dict[str, list[Load]] = {}
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder, veriscan(Path(folder), weights_dir) as found:
            server, secret = found
            target = veriscan_target(server, secret, modality)
            put_under_load(target, CLIENTS, CLIENTS)
            loads.setdefault("Veriscan", []).append(put_under_load(target, requests, CLIENTS))
        for name, module in others.items():
            loads.setdefault(name, []).append(_other(name, module, environment, requests))
    best = {name: max(found, key=lambda load: load.per_s) for name, found in loads.items()}
    ours = best.pop("Veriscan")
    for name, theirs in best.items():
        report.at_least("throughput of Veriscan", ours.per_s / theirs.per_s, 1.0, name)
        report.at_most("99th percentile of Veriscan", ours.p99_s / theirs.p99_s, 1.0, name)
    for name, load in {"Veriscan": ours, **best}.items():
        report.below("requests without a verdict", load.failures, 0, f"of {name}")
    return report


def _other(name: str, module: str, environment: dict[str, str], requests: int) -> Load:
    ready, path = ("/", "/") if name == "recipe" else ("/health", "/predict")
    with running(("-m", module), ready, environment) as server:
        target = Target(url=f"{server.url}{path}")
        put_under_load(target, CLIENTS, CLIENTS)
        return put_under_load(target, requests, CLIENTS)
