"""Runs the benchmarks: ``python -m tests.benchmarks [NAME…]`` prints a table and writes JSON."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from tests.benchmarks import (
    crowd,
    endurance,
    engine_path,
    gpu,
    http_overhead,
    overload,
    peers,
    runtimes,
)
from tests.benchmarks.harness import Report, write

NAMES = ("runtimes", "engine", "http", "peers", "endurance", "overload", "crowd", "gpu")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--weights", type=click.Path(path_type=Path), default=Path("weights").resolve())
@click.option("--modality", default="lung_ct", show_default=True)
@click.option("--rounds", type=click.IntRange(3), default=21, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count() or 1)
@click.option("--requests", type=click.IntRange(20), default=5000, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.1), default=10, show_default=True)
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), help="Real scans.")
@click.option("--scans", type=click.IntRange(1), default=200, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks.json"))
def main(
    names: tuple[str, ...],
    weights: Path,
    modality: str,
    rounds: int,
    threads: int,
    requests: int,
    minutes: float,
    manifest: Path | None,
    scans: int,
    out: Path,
) -> None:
    """Measure what is named, or everything, and write it to a file as JSON."""
    works: dict[str, Callable[[], Report]] = {
        "runtimes": lambda: runtimes.measure(weights, modality, rounds, threads, manifest, scans),
        "engine": lambda: engine_path.measure(weights, modality, rounds, threads),
        "http": lambda: http_overhead.measure(4 * rounds),
        "peers": lambda: peers.measure(weights, modality, max(40, requests // 25)),
        "endurance": lambda: endurance.measure(weights, requests),
        "overload": lambda: overload.measure(rounds),
        "crowd": lambda: crowd.measure(minutes),
        "gpu": lambda: gpu.measure(weights, modality, rounds),
    }
    reports = []
    for name in names or NAMES:
        reports.append(works[name]())
        print(reports[-1].to_table(), flush=True)
        write(reports, out)


if __name__ == "__main__":
    main()
