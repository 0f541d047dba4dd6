"""What HTTP costs besides inference: a scan from its upload to its stored verdict, and pages.

The network is a tiny one. What inference takes is measured and not assumed: after each scan that
the server judges, an engine alone judges the same pixels in this process, and its bare session runs
on the same tensor. CPU time is told beside durations, and how long the server's threads together
were kept waiting for a core meanwhile: where that is much, the machine is busy with other things,
and CPU time says more.
"""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from app.detection.decoding import decode
from app.detection.spec import modality as spec_of
from app.engine.backends import Machine
from app.engine.engine import InProcessEngine
from app.engine.protocol import CPU
from app.engine.serving import load_serving
from app.services.decoding.pictures import quantised, restored
from tests.benchmarks.cpu import DECODING, ENGINE, SERVING, WAITING, CpuMeter
from tests.benchmarks.engine_path import bare_session
from tests.benchmarks.harness import Client, Report, Target, scans, target_of, veriscan
from tests.benchmarks.make_token import PASSWORD, USERNAME
from tests.benchmarks.named_server import COMMAND
from tests.factories import publish_tiny_weights

MODALITY = "lung_ct"
ANALYSES = 100
WARM_UP = 5
MOST_OVERHEAD_MS = 15
MOST_PAGE_MS = 10
NOBODY, USER, SCRIPT = "nobody", "a user who is signed in", "a script with a token"
CHEAPEST = "/healthz"
PAGES = {  # name: path and who asks
    CHEAPEST: (CHEAPEST, NOBODY),
    "landing page": ("/", NOBODY),
    "sign-in form": ("/sign-in", NOBODY),
    "landing page, signed in": ("/", USER),
    "history": ("/analyses", USER),
    "verdict page": ("/analyses/{id}", USER),
    "heatmap picture": ("/analyses/{id}/heatmap", USER),
    "upload form": ("/analyses/new", USER),
    "account": ("/account", USER),
    "admin overview": ("/admin", USER),
    "API listing": ("/api/v1/analyses", SCRIPT),
}
DOCUMENTS = {  # made on request, and no pages: without an aim
    "signed report, PDF": ("/analyses/{id}/report.pdf", USER),
    f"personal data with {ANALYSES} scans, ZIP": ("/account/data", USER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one request took, in milliseconds.

    Attributes:
        wall_ms: Until its answer was there.
        waiting_ms: How long the server's threads were kept waiting for a core, all together.
        cpu_ms: CPU time of the server besides inference.
        decoding_ms: The part of it that the decoding process took.
        inference_ms: CPU time of the server's engine and of the runtime below it.
    """

    wall_ms: float
    waiting_ms: float
    cpu_ms: float
    decoding_ms: float
    inference_ms: float


def measure(rounds: int) -> Report:
    """Post scans one after the other to a server of its own, then ask for pages."""
    report = Report(name=f"HTTP besides inference, 512 × 512 PNG, one client, {ANALYSES} analyses")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish_tiny_weights(folder / "weights", MODALITY)
        with veriscan(folder, folder / "weights", command=COMMAND) as (server, secret):
            meter, target = CpuMeter(server.pid), target_of(server, secret, MODALITY)
            newest = _measure_scans(report, meter, target, folder)
            _measure_pages(report, meter, target, newest, rounds)
    return report


def _cost_of(work: Callable[[], object], meter: CpuMeter) -> Cost:
    wall_ms = _duration_ms(work)
    cpu_ms = meter.lap_ms()
    return Cost(
        wall_ms=wall_ms,
        waiting_ms=cpu_ms[WAITING],
        cpu_ms=cpu_ms[SERVING] + cpu_ms[DECODING],
        decoding_ms=cpu_ms[DECODING],
        inference_ms=cpu_ms[ENGINE],
    )


def _duration_ms(work: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    work()
    return (time.perf_counter() - begin_s) * 1000


# --- scans ----------------------------------------------------------------------------------


def _measure_scans(report: Report, meter: CpuMeter, target: Target, folder: Path) -> str:
    """Measure what scans cost; return the id of the last one."""
    client, newest = Client(target.url), ""
    costs: list[Cost] = []
    alone_ms: list[float] = []
    bare_ms: list[float] = []

    def post(scan: bytes) -> None:
        nonlocal newest
        status, body = client.post(target, scan)
        if status != HTTPStatus.CREATED:
            raise RuntimeError(f"The server answered {status} in place of a verdict.")
        newest = json.loads(body)["id"]

    with _inference(folder) as (alone, bare):
        for scan in scans(ANALYSES):
            costs.append(_cost_of(partial(post, scan), meter))
            pixels = restored(quantised(decode(scan, spec_of(MODALITY)).grey))
            alone_ms.append(alone(pixels))
            bare_ms.append(bare(pixels))
    _tell_scans(report, costs[WARM_UP:], alone_ms[WARM_UP:], bare_ms[WARM_UP:])
    return newest


Inference = Callable[[NDArray[np.float32]], float]


@contextmanager
def _inference(folder: Path) -> Iterator[tuple[Inference, Inference]]:
    """Give what tells how long an engine alone takes on grey values, and its bare session."""
    weights_dir, graphs_dir = folder / "weights", folder / "graphs"
    engine = InProcessEngine(
        weights_dir, max_queue=1, max_batch=1, device=CPU, graphs_dir=graphs_dir
    )
    engine.start([MODALITY])
    serving = load_serving(weights_dir, MODALITY, Machine(device=CPU, graphs_dir=graphs_dir))

    def alone(pixels: NDArray[np.float32]) -> float:
        return _duration_ms(lambda: engine.submit(MODALITY, pixels, override_gate=True).result())

    def bare(pixels: NDArray[np.float32]) -> float:
        return _duration_ms(bare_session(serving, serving.prepare(pixels)))

    try:
        yield alone, bare
    finally:
        engine.stop()


def _tell_scans(
    report: Report, costs: list[Cost], alone_ms: list[float], bare_ms: list[float]
) -> None:
    scan_ms = median(cost.wall_ms for cost in costs)
    report.tell("a scan, until its verdict is stored", scan_ms, "ms")
    report.tell("the engine alone on the same pixels", median(alone_ms), "ms")
    report.tell("its bare session on the same tensor", median(bare_ms), "ms")
    report.tell("a scan", scan_ms / median(alone_ms), baseline="the engine alone")
    besides_ms = [cost.wall_ms - ms for cost, ms in zip(costs, alone_ms, strict=True)]
    report.below("a scan besides inference", median(besides_ms), MOST_OVERHEAD_MS, "ms")
    waiting_ms = median(cost.waiting_ms for cost in costs)
    report.tell("waiting for a core meanwhile", waiting_ms, "ms")
    cpu_ms = median(cost.cpu_ms for cost in costs)
    report.below("a scan besides inference, CPU", cpu_ms, MOST_OVERHEAD_MS, "ms")
    decoding_ms = median(cost.decoding_ms for cost in costs)
    report.tell("of it the decoding process, CPU", decoding_ms, "ms")
    inference_ms = median(cost.inference_ms for cost in costs)
    report.tell("inference in the server, CPU", inference_ms, "ms")


# --- pages ----------------------------------------------------------------------------------


def _measure_pages(
    report: Report, meter: CpuMeter, target: Target, newest: str, rounds: int
) -> None:
    client = Client(target.url)
    headers = {NOBODY: {}, USER: _signed_in(client), SCRIPT: target.headers}
    costs: dict[str, list[Cost]] = {name: [] for name in PAGES | DOCUMENTS}
    for number in range(rounds + 1):
        for name, (path, who) in (PAGES | DOCUMENTS).items():
            ask = partial(_ask, client, path.format(id=newest), headers[who])
            cost = _cost_of(ask, meter)
            if number:  # the first round makes ready
                costs[name].append(cost)
    cheapest_ms = median(cost.cpu_ms for cost in costs[CHEAPEST])
    for name, found in costs.items():
        wall_ms = median(cost.wall_ms for cost in found)
        cpu_ms = median(cost.cpu_ms for cost in found)
        if name in DOCUMENTS:
            report.tell(name, wall_ms, "ms")
            report.tell(f"{name}, CPU", cpu_ms, "ms")
        else:
            report.below(name, wall_ms, MOST_PAGE_MS, "ms")
            report.below(f"{name}, CPU", cpu_ms, MOST_PAGE_MS, "ms")
        report.tell(f"{name}, CPU", cpu_ms / cheapest_ms, baseline=CHEAPEST)
    every = [cost for found in costs.values() for cost in found]
    waiting_ms = sum(cost.waiting_ms for cost in every)
    share = waiting_ms / sum(cost.wall_ms for cost in every)
    report.tell("waiting for a core meanwhile", share, baseline="all these durations")


def _ask(client: Client, path: str, headers: Mapping[str, str]) -> None:
    status = client.get(path, headers)
    if status != HTTPStatus.OK:
        raise RuntimeError(f"The server answered {path} with {status}.")


def _signed_in(client: Client) -> dict[str, str]:
    """Sign in as the owner of the scans; return the headers of that session."""
    form = client.ask("GET", "/sign-in")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.body.decode())
    if token is None:
        raise RuntimeError("The page to sign in has no form.")
    fields = {"csrf_token": token[1], "username": USERNAME, "password": PASSWORD}
    content_type = {"Content-Type": "application/x-www-form-urlencoded"}
    entered = client.ask(
        "POST", "/sign-in", urlencode(fields).encode(), {"Cookie": form.cookie, **content_type}
    )
    if entered.status not in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER):
        raise RuntimeError(f"Signing in was answered with {entered.status}.")
    return {"Cookie": entered.cookie}
