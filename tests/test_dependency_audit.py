"""The dependency audit: a known hole fails it, and nobody in reach to ask is said, not failed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.dependency_audit import BROKEN, CANARY, KNOWN_HOLE, audit

NOBODY = "http://127.0.0.1:9/v1/query"  # the port of a service that hardly any machine runs
NOT_DONE = "Dependency audit NOT DONE: the advisory service (OSV) is out of reach.\n"


@contextmanager
def advisories(*vulnerable: str) -> Iterator[str]:
    """Answer on this machine as OSV does; give the address."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            hole = {
                "id": "PYSEC-1",
                "affected": [
                    {
                        "package": {"name": name, "ecosystem": "PyPI"},
                        "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9.9"}]}],
                    }
                ],
            }
            is_vulnerable = f"{name}=={query['version']}" in vulnerable
            body = json.dumps({"vulns": [hole]} if is_vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("leaky==1.0  # with a reason\nsound==2.0\n", encoding="utf-8")
    return path


def test_a_known_hole_fails(pins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with advisories("leaky==1.0", CANARY) as url:
        assert audit([pins], url) == KNOWN_HOLE

    assert capsys.readouterr().out == "KNOWN HOLE: leaky==1.0 has PYSEC-1 (mended in 9.9).\n"


def test_pins_without_a_known_hole_pass(pins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with advisories(CANARY) as url:
        assert audit([pins], url) == 0

    assert capsys.readouterr().out == "Dependency audit: no known hole in 2 pinned packages.\n"


def test_a_service_out_of_reach_is_said_and_does_not_fail(
    pins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit([pins], NOBODY) == 0

    assert capsys.readouterr().out == NOT_DONE


def test_a_service_that_knows_no_advisories_is_none(
    pins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with advisories() as url:
        assert audit([pins], url) == 0

    assert capsys.readouterr().out == NOT_DONE


def test_requirements_that_cannot_be_read_fail_also_offline(tmp_path: Path) -> None:
    assert audit([tmp_path / "missing.txt"], NOBODY) == BROKEN
