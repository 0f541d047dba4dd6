"""The server as ``make run`` starts it: what it prints, refuses and does when it is stopped."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.journeys.server import COMMAND, ROOT, Server, start_server, stop_server


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "0"), ("PORT", "65536"), ("PORT", ""), ("VERISCAN_PROT", "80")],
)
def test_a_wrong_setting_ends_the_start_with_one_sentence(name: str, value: str) -> None:
    process = subprocess.run(
        [sys.executable, *COMMAND],
        cwd=ROOT,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith(f"Veriscan cannot start. {name}: ")
    assert process.stderr.count("\n") == 1


def test_the_server_says_where_to_open_it_and_how_to_make_an_administrator(server: Server) -> None:
    log = server.log.read_text()

    assert f"Veriscan is ready: open {server.url}" in log
    assert "flask create-admin" in log


def test_every_modality_is_ready(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as response:
        assert response.status == 200


def test_query_strings_and_referrers_are_not_logged(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/healthz?name=Sentinel", headers={"Referer": "https://sentinel.example/"}
    )
    with urllib.request.urlopen(request, timeout=10):
        pass

    log = server.log.read_text()
    assert '"GET /healthz" 200' in log
    assert "sentinel" not in log.lower()


def test_the_server_stops_when_it_is_asked_to(tmp_path: Path, decided_weights_dir: Path) -> None:
    server = start_server(tmp_path, decided_weights_dir)

    assert stop_server(server) == 0
    assert "Traceback" not in server.log.read_text()
