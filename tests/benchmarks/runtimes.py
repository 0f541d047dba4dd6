"""Which runtime and precision to run a network with on the CPU: speed and what it costs in truth.

Compared are eager PyTorch, OpenVINO and ONNX Runtime, in float32, bfloat16 and 8-bit integers, and
batches of four against runs one after the other. Agreement is measured on real scans where a
manifest (columns path, modality) is given, otherwise on synthetic ones.
"""

import csv
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.detection.decoding import decode
from app.detection.limits import DecodingLimits
from app.detection.preprocessing import to_square
from app.detection.spec import modality as spec_of
from app.detection.weights import LoadedDetector, active_checkpoint, load_detector
from app.engine.backends import CpuBackend, GreyReader
from app.engine.graphs import DEVICE, _core, _openvino
from tests.benchmarks.harness import Report, medians_s
from tests.factories import make_grey

MOST_DRIFT = 0.005
CALIBRATION_SCANS = 24

Square = NDArray[np.float32]
Run = Callable[[Square], float]


def measure(
    weights_dir: Path, modality: str, rounds: int, threads: int, manifest: Path | None, count: int
) -> Report:
    """Measure one modality."""
    report = Report(name=f"runtimes on the CPU, {modality}, {threads} threads")
    torch.set_num_threads(threads)
    detector = load_detector(active_checkpoint(weights_dir, modality))
    squares = list(_squares(detector, modality, manifest, count))
    with tempfile.TemporaryDirectory() as folder:
        runs = _runs(detector, threads, Path(folder), squares, report)
        square = squares[0]
        found = medians_s({name: partial(run, square) for name, run in runs.items()}, rounds)
        for name, run in runs.items():
            report.tell(
                f"speed of {name}", found["PyTorch float32"] / found[name], baseline="PyTorch"
            )
            if name != "PyTorch float32":
                _tell_truth(report, name, run, runs["PyTorch float32"], squares, detector)
    _compare_batches(report, detector, threads, rounds)
    return report


def _squares(
    detector: LoadedDetector, modality: str, manifest: Path | None, count: int
) -> Iterator[Square]:
    side = detector.card.preprocessing.image_size
    if manifest is None:
        for seed in range(count):
            yield to_square(make_grey(side, side, seed=seed), side).numpy()
        return
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["modality"] == modality]
    random.Random(0).shuffle(rows)
    for row in rows[:count]:
        data = (manifest.parent / row["path"]).read_bytes()
        grey = decode(data, spec_of(modality), DecodingLimits()).grey
        yield to_square(grey, side).numpy()


def _runs(
    detector: LoadedDetector, threads: int, folder: Path, squares: list[Square], report: Report
) -> dict[str, Run]:
    """Return what gives the logit of a scan, by runtime and precision; the first is the unit."""
    reader = GreyReader(detector.network, detector.card.preprocessing)
    eager = CpuBackend(reader)
    runs: dict[str, Run] = {
        "PyTorch float32": lambda square: float(eager.run(torch.from_numpy(square)[None]).logits[0])
    }
    side = detector.card.preprocessing.image_size
    for name, precision in (("float32", "f32"), ("bfloat16", "bf16")):
        runs[f"OpenVINO {name}"] = _openvino_run(reader, [1, side, side], precision, threads)
    try:
        runs |= _onnx_runs(reader, folder, squares, threads)
    except ImportError as error:
        report.skipped.append(f"ONNX Runtime and 8-bit integers ({error})")
    return runs


def _openvino_run(reader: GreyReader, shape: list[int], precision: str, threads: int) -> Run:
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        model = _openvino().convert_model(reader, example_input=torch.rand(shape))
    model.reshape(shape)
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = _core().compile_model(model, DEVICE, options)
    request = compiled.create_infer_request()

    def run(square: Square) -> float:
        result = request.infer([np.broadcast_to(square, shape).copy()], share_inputs=True)
        return float(result[compiled.outputs[0]][0])

    return run


def _onnx_runs(
    reader: GreyReader, folder: Path, squares: list[Square], threads: int
) -> dict[str, Run]:
    import onnxruntime
    from onnxruntime import quantization

    side = squares[0].shape[0]
    plain, small = folder / "plain.onnx", folder / "small.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            reader, (torch.rand(1, side, side),), str(plain), dynamo=False,
            input_names=["squares"], output_names=["logits", "evidence"],
        )  # fmt: skip

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        """Gives the scans by which the ranges of the integers are chosen."""

        def __init__(self) -> None:
            self._scans = iter(squares[:CALIBRATION_SCANS])

        def get_next(self) -> dict[str, Square] | None:
            """Return the next input, None after the last."""
            square = next(self._scans, None)
            return None if square is None else {"squares": square[None]}

    quantization.quantize_static(str(plain), str(small), Reader(), per_channel=True)

    def session_run(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session: Any = onnxruntime.InferenceSession(str(path), options)
        return lambda square: float(session.run(None, {"squares": square[None]})[0][0])

    return {
        "ONNX Runtime float32": session_run(plain),
        "ONNX Runtime 8-bit integers": session_run(small),
    }


def _tell_truth(
    report: Report,
    name: str,
    run: Run,
    eager: Run,
    squares: list[Square],
    detector: LoadedDetector,
) -> None:
    point = detector.card.operating_point
    pairs = [(point.probability(eager(one)), point.probability(run(one))) for one in squares]
    drift = max(abs(theirs - ours) for theirs, ours in pairs)
    changed = sum(point.verdict(theirs) is not point.verdict(ours) for theirs, ours in pairs)
    what = f"of {len(pairs)} scans, "
    if name == "OpenVINO float32":
        report.below(f"{name}: largest change of a probability", drift, MOST_DRIFT, "")
        report.below(f"{name}: changed verdicts", changed, 0, what + "none")
    else:
        report.tell(f"{name}: largest change of a probability", drift, "")
        report.tell(f"{name}: changed verdicts", changed, what)


def _compare_batches(report: Report, detector: LoadedDetector, threads: int, rounds: int) -> None:
    """Compare the four runs of the stability check with one batch of four."""
    reader = GreyReader(detector.network, detector.card.preprocessing)
    side = detector.card.preprocessing.image_size
    one = _openvino_run(reader, [1, side, side], "f32", threads)
    four = _openvino_run(reader, [4, side, side], "f32", threads)
    square = make_grey(side, side)
    found = medians_s(
        {"singly": lambda: [one(square) for _ in range(4)], "batch": lambda: four(square)}, rounds
    )
    report.tell("a batch of four", found["batch"] / found["singly"], baseline="four single runs")
