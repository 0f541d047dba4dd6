"""SIGTERM under load: what the server has said yes to is there after the next start."""

import json
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.records import AnalysisStatus
from app.services.accounts.passwords import PasswordService
from app.services.container import Services, build_services
from app.storage.images import Picture
from tests.factories import png_bytes
from tests.journeys.server import STOP_TIMEOUT_S, Server, start_server, stop_server
from tests.people import application_of

SENDERS = 8


@pytest.fixture
def token(tmp_path: Path, decided_weights_dir: Path) -> str:
    """An API token of somebody who has an account in the data folder."""
    services = open_stores(tmp_path, decided_weights_dir)
    alice = services.identity.registration.register(application_of("alice"))
    _, secret = services.identity.tokens.create(alice.id, "load")
    services.stop()
    return secret


def open_stores(folder: Path, weights_dir: Path) -> Services:
    settings = Settings(data_dir=folder / "data", weights_dir=weights_dir)
    engine = InProcessEngine(weights_dir, max_queue=4, max_batch=1, device="cpu")
    return build_services(settings, engine, PasswordService("scrypt:128:8:1"))


def send(server: Server, token: str) -> str | None:
    """Send a scan; return the id of its analysis if the server says that it has it."""
    boundary = uuid4().hex
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="modality"\r\n\r\nlung_ct\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="s.png"\r\n\r\n'
    )
    body = parts.encode() + png_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    request = urllib.request.Request(f"{server.url}/api/v1/analyses", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(json.load(response)["id"])
    except (urllib.error.URLError, OSError, ValueError):
        return None  # refused, or gone: no promise was made


def test_no_accepted_analysis_is_lost_when_the_server_is_ended_under_load(
    tmp_path: Path, decided_weights_dir: Path, token: str
) -> None:
    server = start_server(tmp_path, decided_weights_dir)
    is_over = Event()

    def keep_sending() -> list[str]:
        accepted = []
        while not is_over.is_set():
            if found := send(server, token):
                accepted.append(found)
            else:
                time.sleep(0.05)
        return accepted

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(keep_sending) for _ in range(SENDERS)]
        time.sleep(2)
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(timeout=STOP_TIMEOUT_S)
        is_over.set()
        accepted = {found for sender in senders for found in sender.result()}

    assert status == 0
    assert accepted
    again = start_server(tmp_path, decided_weights_dir)
    wait_until_all_are_judged(tmp_path, decided_weights_dir, accepted)
    assert stop_server(again) == 0


def wait_until_all_are_judged(folder: Path, weights_dir: Path, accepted: set[str]) -> None:
    services = open_stores(folder, weights_dir)
    alice = next(user for user in services.accounts.list_users() if user.username == "alice")
    deadline_s = time.monotonic() + 60
    while True:
        page = services.analyses.history(alice, per_page=10_000)
        kept = {str(analysis.id): analysis for analysis in page.analyses}
        assert accepted <= set(kept)
        if all(kept[found].status is AnalysisStatus.DONE for found in accepted):
            break
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    for found in accepted:
        assert services.images.get(kept[found].id, Picture.SCAN)
    services.stop()
