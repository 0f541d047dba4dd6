"""What each part of a verdict costs, in bare forward passes of the network.

Run it as ``python -m tests.benchmarks.verdict_cost --weights weights --modality lung_ct``. Ratios
of medians are printed, no seconds are asserted: they belong to one machine.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from app.detection.explain import heatmap
from app.detection.gate import gate_input
from app.detection.labels import Verdict
from app.detection.preprocessing import normalise, square_to_scan, to_square
from app.detection.stability import VARIANTS
from app.engine.protocol import CPU
from app.engine.serving import Reading, Serving, load_serving
from tests.factories import make_grey

SCAN_PIXELS = 512
MOST_PASSES = 8.0


def median_s(work: Callable[[], object], rounds: int) -> float:
    """Return the median duration of some work, in seconds, after one round that does not count."""
    work()
    durations = []
    for _ in range(rounds):
        begin_s = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begin_s)
    return statistics.median(durations)


def parts_of(serving: Serving) -> dict[str, Callable[[], object]]:
    """Return the parts of a verdict by name; the first is the unit."""
    scan = make_grey(SCAN_PIXELS, SCAN_PIXELS)
    waiting = serving.prepare(scan, override_gate=True)
    card = serving.card
    image = normalise(waiting.square, card.preprocessing)[None]
    output = serving.backend.run(image)
    decided = Reading(
        probability=0.99, verdict=Verdict.FAKE, evidence=output.evidence[0], device=CPU
    )
    side = card.preprocessing.image_size
    cells = square_to_scan(output.evidence[0], SCAN_PIXELS, SCAN_PIXELS, side)
    parts: dict[str, Callable[[], object]] = {
        "bare forward pass": lambda: serving.backend.run(image),
        "preparing the scan": lambda: to_square(scan, side),
        "heatmap": lambda: heatmap(cells, card.operating_point, 0.99),
        "making the variants": lambda: [vary(waiting.square.numpy()) for vary in VARIANTS.values()],
        "stability check, all of it": lambda: serving.try_variants(waiting.square, decided),
    }
    if serving.gate is not None:
        gate = serving.gate
        parts["gate's thumbnail"] = lambda: gate_input(scan, gate.card.preprocessing)
        parts["gate"] = lambda: serving.ask_gate([waiting])
    return parts


@click.command()
@click.option("--weights", type=click.Path(path_type=Path), default=Path("weights"))
@click.option("--modality", default="lung_ct", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(weights: Path, modality: str, rounds: int, threads: int) -> None:
    """Print what each part of a verdict costs on the CPU."""
    torch.set_num_threads(threads)
    serving = load_serving(weights, modality, CPU, 1)
    costs = {name: median_s(work, rounds) for name, work in parts_of(serving).items()}
    unit_s = costs["bare forward pass"]
    whole = sum(cost for name, cost in costs.items() if name != "making the variants") / unit_s
    print(f"{modality}, {serving.card.name}: a bare forward pass takes {unit_s * 1000:.0f} ms here")
    for name, cost in costs.items():
        print(f"{name:<30}{cost / unit_s:>8.3f}")
    print(f"{'a verdict with all of them':<30}{whole:>8.3f}   aim: below {MOST_PASSES:.0f}")


if __name__ == "__main__":
    main()
