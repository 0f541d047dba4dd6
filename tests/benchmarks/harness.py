"""What the benchmarks share: interleaved timing, figures as ratios, a client, running servers.

Nothing here asserts a number of seconds. Every figure is a ratio against a baseline that was
measured in turns with it in the same run, so that whatever else the machine does meets both.
"""

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.factories import make_grey, png_bytes
from tests.journeys.server import COMMAND, ROOT, free_port

START_TIMEOUT_S = 300
SIDE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure.

    Attributes:
        name: What was measured.
        value: The figure.
        unit: ``×`` for a ratio against ``baseline``, otherwise ``ms``, ``MiB``, ``s`` ….
        baseline: What a ratio is against.
        aim: What it should be, in words; empty where it only informs.
        is_met: Whether it is; None where there is no aim.
    """

    name: str
    value: float
    unit: str = "×"
    baseline: str = ""
    aim: str = ""
    is_met: bool | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """The figures of one benchmark.

    Attributes:
        name: Of the benchmark.
        figures: In the order in which they were measured.
        skipped: What could not be measured here, and why.
    """

    name: str
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def at_least(self, name: str, value: float, aim: float, baseline: str) -> None:
        """Note a ratio that should not be smaller than ``aim``."""
        self._note(name, value, f"≥ {aim:g} ×", value >= aim, baseline)

    def at_most(self, name: str, value: float, aim: float, baseline: str) -> None:
        """Note a ratio that should not be larger than ``aim``."""
        self._note(name, value, f"≤ {aim:g} ×", value <= aim, baseline)

    def below(self, name: str, value: float, aim: float, unit: str) -> None:
        """Note a figure with a unit that should not be larger than ``aim``."""
        figure = Figure(
            name=name, value=value, unit=unit, aim=f"≤ {aim:g} {unit}", is_met=value <= aim
        )
        self.figures.append(figure)

    def tell(self, name: str, value: float, unit: str = "×", baseline: str = "") -> None:
        """Note a figure without an aim."""
        self.figures.append(Figure(name=name, value=value, unit=unit, baseline=baseline))

    def _note(self, name: str, value: float, aim: str, is_met: bool, baseline: str) -> None:
        self.figures.append(
            Figure(name=name, value=value, baseline=baseline, aim=aim, is_met=is_met)
        )

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON has it."""
        return asdict(self)

    def to_table(self) -> str:
        """Return the report as lines of text."""
        lines = [self.name]
        for one in self.figures:
            mark = {True: "met", False: "MISSED", None: ""}[one.is_met]
            against = f" of {one.baseline}" if one.baseline else ""
            value = f"{one.value:.3g} {one.unit}{against}"
            lines.append(f"  {one.name:<58}{value:<44}{one.aim:<12}{mark}")
        return "\n".join(lines + [f"  not measured: {reason}" for reason in self.skipped])


def medians_s(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median duration of several kinds of work, in seconds, measured in turns."""
    durations: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            begin_s = time.perf_counter()
            work()
            if number:  # the first round makes ready
                durations[name].append(time.perf_counter() - begin_s)
    return {name: statistics.median(values) for name, values in durations.items()}


def scans(count: int) -> list[bytes]:
    """Return different synthetic scans of 512 × 512 pixels, as PNG."""
    return [png_bytes(make_grey(SIDE, SIDE, seed=seed)) for seed in range(count)]


# --- servers and their clients --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that judges scans.

    Attributes:
        url: To which scans are posted.
        headers: Sent with each request.
        fields: Form fields beside the scan.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes:
        cookie: What a browser would send back as ``Cookie`` from then on.
    """

    status: int
    body: bytes
    cookie: str


class Client:
    """A connection that stays open, as a browser's or a script's does."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connection = http.client.HTTPConnection(self._url.netloc, timeout=300)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a request, after reading all of it."""
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        cookies = [one.partition(";")[0] for one in response.headers.get_all("Set-Cookie", [])]
        return Answer(response.status, response.read(), "; ".join(cookies))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Return the status of a page, after reading all of it."""
        return self.ask("GET", path, headers=headers).status

    def post(self, target: Target, scan: bytes) -> tuple[int, bytes]:
        """Post a scan; return status and body."""
        boundary = uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in target.fields.items()
        ]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        body = ("".join(parts) + head).encode() + scan + f"\r\n--{boundary}--\r\n".encode()
        content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        headers = {**target.headers, **content_type}
        answer = self.ask("POST", urlsplit(target.url).path, body, headers)
        return answer.status, answer.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that was started.

    Attributes:
        url: Where it answers, without a slash at the end.
        ready_s: How long it took to be ready, in seconds.
        pid: Of its first process.
    """

    url: str
    ready_s: float
    pid: int

    def resident_mib(self) -> float:
        """Return what the process and its children hold in memory, in MiB."""
        return sum(_resident_kib(pid) for pid in self.family()) / 1024

    def family(self) -> list[int]:
        """Return the numbers of the process and of its children."""
        return _family(self.pid)


@contextmanager
def running(
    arguments: Sequence[str], ready_path: str, environment: Mapping[str, str]
) -> Iterator[Running]:
    """Run ``python`` with arguments until the block ends; ``PORT`` says where it should listen."""
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("VERISCAN_")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, "PORT": str(port), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield _once_ready(process, f"http://127.0.0.1:{port}", ready_path)
    finally:
        process.terminate()
        process.wait(60)
        with suppress(ProcessLookupError):  # some leave their own processes behind
            os.killpg(process.pid, signal.SIGKILL)


def _once_ready(process: "subprocess.Popen[bytes]", url: str, path: str) -> Running:
    begin_s = time.perf_counter()
    while time.perf_counter() - begin_s < START_TIMEOUT_S and process.poll() is None:
        try:
            if Client(url).get(path) == 200:
                took_s = time.perf_counter() - begin_s
                return Running(url=url, ready_s=took_s, pid=process.pid)
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"No server is ready at {url}{path}.")


@contextmanager
def veriscan(
    folder: Path,
    weights_dir: Path,
    extra: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[tuple[Running, str]]:
    """Run Veriscan as ``make run`` does; gives it and the secret of an API token."""
    data_dir = folder / "data"
    environment = {
        "VERISCAN_DATA_DIR": str(data_dir),
        "VERISCAN_WEIGHTS_DIR": str(weights_dir),
        "VERISCAN_VERDICT_WAIT_S": "60",
        "VERISCAN_LOG_LEVEL": "WARNING",
        "VERISCAN_API_REQUESTS_PER_MIN": "0",
        **(extra or {}),
    }
    secret = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.make_token", str(data_dir)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    with running(command, "/readyz", environment) as server:
        yield server, secret


def target_of(server: Running, secret: str, modality: str = "lung_ct") -> Target:
    """Return where to post scans to Veriscan; synthetic ones need the gate overridden."""
    return Target(
        url=f"{server.url}/api/v1/analyses",
        headers={"Authorization": f"Bearer {secret}"},
        fields={"modality": modality, "override_gate": "true"},
    )


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def write(reports: Sequence[Report], path: Path) -> None:
    """Write reports as JSON."""
    content = json.dumps([one.to_dict() for one in reports], indent=2, ensure_ascii=False)
    path.write_text(content + "\n", encoding="utf-8")
