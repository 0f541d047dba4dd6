"""Sends spoilt images and DICOM files to a real server and sees to it that it minds none of them.

Run it as ``python -m tests.fuzz.hostile_uploads --files 10000``. It starts a server with tiny
weights on a free port and in a folder of its own, and fails if an answer is a server error, if one
takes too long, if the server ends, or if its memory grows from the first thousand files to the
last.
"""

import http.client
import json
import shutil
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import click
import numpy as np

from app.config import Settings
from app.detection.spec import modalities
from app.engine.engine import InProcessEngine
from app.services.container import build_services
from tests.factories import publish_tiny_weights
from tests.fuzz.seeds import seeds, spoilt
from tests.journeys.server import Server, start_server, stop_server
from tests.people import application_of

CLIENTS = 3
TOKENS = 100
LONGEST_S = 60.0
WARM_UP_FILES = 1000
MAX_GROWTH_BYTES = 100 * 2**20
EXPECTED = frozenset({201, 202, 204, 413, 415, 422})


@dataclass
class Findings:
    """What the server did.

    Attributes:
        answers: How often each HTTP status came.
        durations_s: Of each upload, in seconds.
        offenders: Files with an answer that should not be, by that answer.
    """

    answers: Counter[int] = field(default_factory=Counter)
    durations_s: list[float] = field(default_factory=list)
    offenders: list[tuple[str, bytes]] = field(default_factory=list)


class Client:
    """A script that uploads one file after the other."""

    def __init__(self, server: Server, tokens: list[str], findings: Findings) -> None:
        self._address = urlsplit(server.url)
        self._tokens = cycle(tokens)
        self._findings = findings

    def send(self, data: bytes, modality: str) -> None:
        """Upload a file; delete what became of it."""
        begin_s = time.monotonic()
        try:
            status, body = self._request("POST", "/api/v1/analyses", _form(data, modality))
        except (OSError, http.client.HTTPException) as error:
            self._findings.offenders.append((repr(error), data))
            return
        self._findings.durations_s.append(time.monotonic() - begin_s)
        self._findings.answers[status] += 1
        if status not in EXPECTED:
            self._findings.offenders.append((f"{status} {body[:300]!r}", data))
        if status in (201, 202):
            self._request("DELETE", json.loads(body)["links"]["self"])

    def _request(
        self, method: str, path: str, form: tuple[bytes, str] = (b"", "")
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=LONGEST_S
        )
        body, content_type = form
        headers = {"Authorization": f"Bearer {next(self._tokens)}"}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _form(data: bytes, modality: str) -> tuple[bytes, str]:
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="modality"\r\n\r\n{modality}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


@dataclass(frozen=True)
class Memory:
    """What a server holds, in bytes; what processes share is divided among them.

    Attributes:
        server: Gunicorn's two processes, the networks in one of them.
        decoders: The processes that decode.
    """

    server: int
    decoders: int


def memory_of(pid: int) -> Memory:
    """Return what a server and all processes below it hold."""
    held = {True: 0, False: 0}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_decoder = b"decoding_process" in (folder / "cmdline").read_bytes()
            rollup = (folder / "smaps_rollup").read_text(encoding="utf-8")
        except OSError:  # it has just ended
            continue
        if int(folder.name) == pid or pid in _ancestors(int(folder.name)):
            held[is_decoder] += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return Memory(server=held[False], decoders=held[True])


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def prepared_tokens(data_dir: Path, weights_dir: Path) -> list[str]:
    """Make the data folder with an account in it; return tokens for the API.

    There are many, because the requests with one of them are limited.
    """
    settings = Settings(data_dir=data_dir, weights_dir=weights_dir, device="cpu")
    services = build_services(
        settings, InProcessEngine(weights_dir, max_queue=1, max_batch=1, device="cpu")
    )
    user = services.identity.registration.register(application_of("fuzzer"))
    tokens = [services.identity.tokens.create(user.id, f"{n}")[1] for n in range(TOKENS)]
    services.stop()
    return tokens


def attack(server: Server, tokens: list[str], count: int, seed: int) -> tuple[Findings, int]:
    """Send so many files; return what happened and by how many bytes the server has grown."""
    files, keys, findings = seeds(), list(modalities()), Findings()
    client = Client(server, tokens, findings)
    generator = np.random.default_rng(seed)
    batch_files = min(WARM_UP_FILES, count // 2)
    first = None
    for begin in range(0, count, batch_files):
        size = min(batch_files, count - begin)
        batch = [(spoilt(generator, files), keys[i % len(keys)]) for i in range(size)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(lambda item: client.send(*item), batch))
        memory = memory_of(server.process.pid)
        first = first or memory
        click.echo(
            f"{begin + size} files: {dict(findings.answers)}; "
            f"server {memory.server / 2**20:.0f} MiB, decoders {memory.decoders / 2**20:.0f} MiB"
        )
    assert first
    return findings, memory.server + memory.decoders - first.server - first.decoders


@click.command()
@click.option("--files", "count", default=10_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Where offending files are written.")
def main(count: int, seed: int, keep: Path | None) -> None:
    """Send spoilt files to a server and report how it took them."""
    folder = Path(tempfile.mkdtemp(prefix="veriscan-fuzz-"))
    weights_dir = folder / "weights"
    for number, key in enumerate(modalities()):
        publish_tiny_weights(weights_dir, key, seed=number)
    tokens = prepared_tokens(folder / "data", weights_dir)
    server = start_server(folder, weights_dir)
    begin_s = time.monotonic()
    try:
        findings, growth = attack(server, tokens, count, seed)
        is_alive = server.process.poll() is None
    finally:
        stop_server(server)
    _report(findings, growth, time.monotonic() - begin_s)
    for number, (_, data) in enumerate(findings.offenders if keep else []):
        assert keep
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{number}.bin").write_bytes(data)
    shutil.rmtree(folder)
    if findings.offenders or not is_alive or growth > MAX_GROWTH_BYTES:
        raise SystemExit(1)


def _report(findings: Findings, growth: int, elapsed_s: float) -> None:
    durations = sorted(findings.durations_s)
    click.echo(f"{sum(findings.answers.values())} files in {elapsed_s:.0f} s")
    for status, times in sorted(findings.answers.items()):
        click.echo(f"  {status}: {times}")
    click.echo(
        f"median {statistics.median(durations) * 1e3:.0f} ms, longest {durations[-1]:.2f} s; "
        f"memory grew by {growth / 2**20:.1f} MiB after the first {WARM_UP_FILES}"
    )
    for answer, data in findings.offenders[:10]:
        click.echo(f"  offender of {len(data)} bytes: {answer}")


if __name__ == "__main__":
    main()
