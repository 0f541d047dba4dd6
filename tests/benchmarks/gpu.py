"""Whether a GPU is kept busy: the engine under 64 clients against the bare network in batches."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from app.detection.weights import active_checkpoint, load_detector
from app.engine.backends import CudaBackend, GreyReader, Machine
from app.engine.engine import InProcessEngine
from app.engine.protocol import CUDA
from tests.benchmarks.harness import SIDE, Report, medians_s
from tests.factories import make_grey

BATCHES = (1, 2, 4, 8, 16, 32, 64)
CLIENTS = 64
PASSES_A_VERDICT = 5
LEAST_SHARE = 0.8
LEAST_GAIN = 10.0


def measure(weights_dir: Path, modality: str, rounds: int) -> Report:
    """Measure one modality; without a GPU there is nothing to measure."""
    report = Report(name=f"GPU, {modality}, {CLIENTS} clients")
    if not torch.cuda.is_available():
        report.skipped.append("everything (this machine has no GPU)")
        return report
    detector = load_detector(active_checkpoint(weights_dir, modality))
    reader = GreyReader(detector.network, detector.card.preprocessing)
    backend = CudaBackend(reader, Machine(device=CUDA, max_batch=max(BATCHES)))
    squares = torch.rand(max(BATCHES), *(detector.card.preprocessing.image_size,) * 2)
    eager = reader.to(CUDA)
    found = medians_s(
        {str(size): partial(backend.run, squares[:size]) for size in BATCHES}
        | {"recipe": lambda: _one_eagerly(eager, squares)},
        rounds,
    )
    best, per_s = max(((size, size / found[str(size)]) for size in BATCHES), key=lambda x: x[1])
    report.tell("best batch", best, "scans")
    # An inconclusive scan is read once, one with a verdict five times: runs are what is compared.
    runs_per_s = _runs_per_s(weights_dir, modality, best)
    report.at_least("runs of the network a second", runs_per_s / per_s, LEAST_SHARE, "the bare one")
    report.at_least("runs of the network a second", runs_per_s * found["recipe"], LEAST_GAIN,
                    "one at a time, eagerly")  # fmt: skip
    return report


def _one_eagerly(reader: GreyReader, squares: torch.Tensor) -> float:
    with torch.inference_mode():
        return float(reader(squares[:1].to(CUDA)).logits[0])


def _runs_per_s(weights_dir: Path, modality: str, batch: int) -> float:
    engine = InProcessEngine(weights_dir, max_queue=CLIENTS, max_batch=batch, device=CUDA)
    engine.start(only={modality})
    scans = [make_grey(SIDE, SIDE, seed=seed) for seed in range(16)]

    def judge(number: int) -> int:
        future = engine.submit(modality, scans[number % len(scans)], override_gate=True)
        finding = future.result().finding
        return PASSES_A_VERDICT if finding.stability else 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(judge, range(4 * CLIENTS)))
        begin_s = time.perf_counter()
        runs = sum(pool.map(judge, range(32 * CLIENTS)))
        took_s = time.perf_counter() - begin_s
    engine.stop()
    return runs / took_s
