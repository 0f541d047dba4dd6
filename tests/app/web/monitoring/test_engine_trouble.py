"""An engine in trouble, through the whole application: nobody waits in vain, and it is told.

A GPU whose memory is too small gives every scan its verdict all the same; a thread that dies takes
only its own scan with it.
"""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from flask import Flask
from torch import Tensor

from app.detection.architectures import Detector
from app.detection.card import Card
from app.detection.labels import Verdict
from app.engine import engine as engine_module
from app.engine import serving as serving_module
from app.engine.backends import BatchOutput, CpuBackend, CudaBackend, GreyReader, Machine
from app.engine.batching import WaitingScan
from app.engine.engine import InProcessEngine
from app.engine.protocol import CPU, CUDA
from app.engine.serving import Serving
from app.errors import InferenceFailedError
from tests.app.web.conftest import MakeApp, make_user
from tests.app.web.script import Script, script_of
from tests.factories import make_grey, operating_point_for, png_bytes, publish_tiny_weights

SCANS = 12
MAX_BATCH = 8


class CrampedGpu(CudaBackend):
    """The real backend of a GPU that has memory for a few images at once; the CPU plays it."""

    def __init__(self, reader: GreyReader, machine: Machine, room: int) -> None:
        self._machine = machine
        self._on_cpu = CpuBackend(reader)
        self._room = room

    def _run_on_gpu(self, squares: Tensor) -> BatchOutput:
        if len(squares) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._on_cpu.run(squares)._replace(device=CUDA)


def figure(app: Flask, name: str) -> float:
    """Return what ``/metrics`` says."""
    found = re.search(rf"^{name} (.+)$", app.test_client().get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def judged(script: Script, analysis: str) -> dict[str, Any]:
    """Return an analysis once it is judged; on a busy machine the answer to sending it waits."""
    deadline = time.monotonic() + 60
    while "verdict" not in (body := script.call("GET", f"/analyses/{analysis}").get_json()):
        assert time.monotonic() < deadline, body
        time.sleep(0.05)
    found: dict[str, Any] = body
    return found


@pytest.mark.parametrize(("room", "device"), [(3, CUDA), (1, CUDA), (0, CPU)])
def test_no_scan_is_lost_when_the_gpu_has_too_little_memory(
    make_app: MakeApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room: int,
    device: str,
) -> None:
    def cramped(make_network: Callable[[], Detector], card: Card, machine: Machine) -> CrampedGpu:
        return CrampedGpu(GreyReader(make_network(), card.preprocessing), machine, room)

    monkeypatch.setattr(serving_module, "make_backend", cramped)
    monkeypatch.setattr(engine_module, "_settled", lambda _wanted: CUDA)
    certain = operating_point_for(Verdict.FAKE)  # so that variants are tried, eight at a time
    publish_tiny_weights(tmp_path / "weights", "lung_ct", operating_point=certain)
    engine = InProcessEngine(tmp_path / "weights", max_queue=SCANS, max_batch=MAX_BATCH)
    app = make_app(engine)
    script = script_of(app, make_user(app.extensions["veriscan"], "alice"))
    pictures = [png_bytes(make_grey(seed=seed)) for seed in range(SCANS)]

    with ThreadPoolExecutor(SCANS) as clients:
        sent = [answer.get_json()["id"] for answer in clients.map(script.analyse, pictures)]

    answers = [judged(script, analysis) for analysis in sent]
    assert [(body["verdict"], body["device"]) for body in answers] == [("fake", device)] * SCANS
    for answer, picture in zip(answers, pictures, strict=True):
        alone = judged(script, script.analyse(picture).get_json()["id"])
        assert answer["probability_fake"] == pytest.approx(alone["probability_fake"], abs=1e-6)
    shortages = figure(app, "veriscan_gpu_memory_shortages_total")
    ready = app.test_client().get("/readyz")
    assert ready.status_code == 200
    assert ready.get_json()["gpu_memory_shortages"] == shortages >= SCANS
    assert "The GPU has no memory for" in caplog.text
    health = app.extensions["veriscan"].administration.monitoring.health()
    assert any("VERISCAN_MAX_BATCH" in problem for problem in health.problems)


def test_a_thread_that_dies_is_replaced_and_its_scan_is_reported_as_failed(
    make_app: MakeApp, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    script = script_of(app, make_user(app.extensions["veriscan"], "alice"))
    judge, faults = engine._judge, [SystemExit("a bug that ends the thread")]

    def judge_or_die(serving: Serving, scans: Sequence[WaitingScan]) -> None:
        if faults:
            raise faults.pop()
        judge(serving, scans)

    monkeypatch.setattr(engine, "_judge", judge_or_die)

    unlucky = script.analyse()
    next_one = script.analyse()

    assert unlucky.get_json()["status"] == "failed"
    assert unlucky.get_json()["error"] == str(InferenceFailedError())
    assert next_one.get_json()["status"] == "done"
    assert figure(app, "veriscan_engine_restarts_total") == 1
    assert figure(app, "veriscan_engine_alive") == 1
    assert app.test_client().get("/readyz").status_code == 200
