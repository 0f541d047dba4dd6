"""What a scan costs inside: the engine's path against the document's recipe, part by part.

The recipe runs the network once. So the engine's path is compared with one run too: decode,
transform, network with heatmap, verdict. What the gate and the stability check add (four more
runs, or three of a network that looks at mirror images anyway) is given in bare runs of the
network.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from app.detection.decoding import decode
from app.detection.explain import heatmap
from app.detection.labels import Verdict
from app.detection.limits import DecodingLimits
from app.detection.preprocessing import square_to_scan
from app.detection.spec import modality as spec_of
from app.engine.backends import Machine
from app.engine.batching import WaitingScan
from app.engine.graphs import GraphBackend
from app.engine.protocol import CPU
from app.engine.serving import Reading, Serving, load_serving
from tests.benchmarks.harness import Report, medians_s, scans
from tests.benchmarks.recipe import make_judge

LEAST_GAIN = 2.5
MOST_OVER_BARE = 1.15
MOST_PASSES = 8.0


def measure(weights_dir: Path, modality: str, rounds: int, threads: int) -> Report:
    """Measure one modality on the CPU."""
    report = Report(name=f"a scan inside the engine, {modality}, {threads} threads")
    torch.set_num_threads(threads)
    scan = scans(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(device=CPU, threads=threads, graphs_dir=Path(folder))
        serving = load_serving(weights_dir, modality, machine)
        recipe, _ = make_judge(weights_dir, modality)
        waiting = serving.prepare(decode(scan, spec_of(modality), DecodingLimits()).grey)
        output = serving.backend.run(waiting.square[None])
        decided = Reading(
            probability=0.99, verdict=Verdict.FAKE, evidence=output.evidence[0], device=CPU
        )
        found = medians_s(
            {
                "recipe": lambda: recipe(scan),
                "engine": lambda: one_pass(serving, scan),
                "tensor": lambda: from_tensor(serving, waiting),
                "bare": bare_session(serving, waiting),
                "gate": lambda: serving.ask_gate([waiting]),
                "stability": lambda: serving.try_variants(waiting.square, decided),
            },
            rounds,
        )
    report.at_least(
        "engine's path, one pass", found["recipe"] / found["engine"], LEAST_GAIN, "recipe's speed"
    )
    bare, of_bare = found["bare"], "the bare session"
    report.at_most("from tensor to verdict", found["tensor"] / bare, MOST_OVER_BARE, of_bare)
    report.tell("from file to verdict", found["engine"] / bare, baseline=of_bare)
    report.tell("gate", found["gate"] / bare, baseline=of_bare)
    report.tell("stability check", found["stability"] / bare, baseline=of_bare)
    whole = found["engine"] + found["gate"] + found["stability"]
    report.at_most("a verdict with all of them", whole / bare, MOST_PASSES, of_bare)
    report.tell("recipe, for scale", found["recipe"] * 1000, "ms")
    return report


def bare_session(serving: Serving, waiting: WaitingScan) -> Callable[[], object]:
    """Return what runs the network's session on a prepared scan, and nothing around it."""
    if not isinstance(serving.backend, GraphBackend):
        raise TypeError("The network runs in PyTorch: its export has failed, see the log.")
    request, tensor = serving.backend._request, waiting.square[None].numpy()
    return lambda: request.infer([tensor], share_inputs=True)


def one_pass(serving: Serving, data: bytes) -> Verdict:
    """Decode, transform, run the network once, draw the map and decide, as the engine does."""
    grey = decode(data, spec_of(serving.modality), DecodingLimits()).grey
    waiting = serving.prepare(grey)
    return from_tensor(serving, waiting)


def from_tensor(serving: Serving, waiting: WaitingScan) -> Verdict:
    """Run the network once on a prepared scan, draw the map and decide."""
    output = serving.backend.run(waiting.square[None])
    point, side = serving.card.operating_point, serving.card.preprocessing.image_size
    probability = point.probability(float(output.logits[0]))
    cells = square_to_scan(output.evidence[0], waiting.height, waiting.width, side)
    heatmap(cells, point, probability)
    return point.verdict(probability)
