"""The server as ``make run`` starts it: what it prints, refuses and does when it is stopped."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from app.config import CANNOT_START
from tests.journeys.server import COMMAND, ROOT, Server, free_port, start_server, stop_server


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

    assert process.returncode == CANNOT_START  # upon which systemd does not try again
    assert process.stdout == ""
    assert process.stderr.startswith(f"Veriscan cannot start. {name}: ")
    assert process.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VERISCAN_DATA_DIR", "/dev/null/data", "The data folder cannot be made"),
        pytest.param(
            *("VERISCAN_DEVICE", "cuda", "There is no usable cuda device"),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_a_server_that_cannot_work_says_why_once_and_ends(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    settings = {"PORT": str(free_port()), "VERISCAN_DATA_DIR": str(tmp_path / "data"), name: value}

    process = subprocess.run(
        [sys.executable, *COMMAND],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode != 0
    assert process.stderr.count(f"Veriscan cannot start. {message}") == 1
    assert process.stderr.count("Booting worker") == 1
    assert "Traceback" not in process.stderr


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


def test_a_path_cannot_forge_a_line_of_the_log(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/%0a2026-01-01%20forged", timeout=10)

    deadline_s = time.monotonic() + 10  # the line is written after the answer
    while "forged" not in (log := server.log.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert "/%0A2026-01-01%20forged" in log


def test_a_header_of_the_client_does_not_replace_the_path(server: Server) -> None:
    for name in ("PATH_INFO", "SCRIPT_NAME"):
        request = urllib.request.Request(f"{server.url}/healthz", headers={name: "/sign-in"})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.read() == b'{"status":"ok"}\n'
