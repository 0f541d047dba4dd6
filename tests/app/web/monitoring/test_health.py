"""What machines are told that watch this one."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.services.container import Services
from tests.app.web.conftest import Browser, MakeApp


def test_a_living_process_says_so(anonymous: Browser) -> None:
    response = anonymous.client.get("/healthz")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}


def test_a_server_with_weights_is_ready(anonymous: Browser) -> None:
    response = anonymous.client.get("/readyz")

    assert response.status_code == 200
    assert response.json
    assert response.json["status"] == "ready"
    assert response.json["modalities"]["lung_ct"] == {"available": True, "reason": None}


def test_one_modality_is_enough_and_the_other_has_its_reason(
    make_app: MakeApp, lung_engine: InProcessEngine
) -> None:
    response = make_app(lung_engine).test_client().get("/readyz")

    assert response.status_code == 200
    assert response.json
    assert response.json["modalities"]["knee_xray"]["available"] is False
    assert "No weights" in response.json["modalities"]["knee_xray"]["reason"]


def test_a_server_without_weights_lives_but_is_not_ready(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(InProcessEngine(tmp_path / "none", max_queue=4, max_batch=1, device="cpu"))

    response = app.test_client().get("/readyz")

    assert response.status_code == 503
    assert app.test_client().get("/healthz").status_code == 200


def test_a_server_whose_engine_is_stopped_is_not_ready(
    make_app: MakeApp, lung_engine: InProcessEngine
) -> None:
    app = make_app(lung_engine)
    app.test_client().get("/healthz")
    lung_engine.stop()

    response = app.test_client().get("/readyz")

    assert response.status_code == 503
    assert response.json
    assert response.json["problems"]["engine"] == "The engine does not run."
    assert response.json["problems"]["database"] is None


def test_a_server_whose_database_is_broken_is_not_ready(
    anonymous: Browser, settings: Settings
) -> None:
    anonymous.client.get("/healthz")
    for path in settings.data_dir.glob("veriscan.sqlite3*"):
        path.write_bytes(b"no database" * 1000)

    response = anonymous.client.get("/readyz")

    assert response.status_code == 503
    assert response.json
    assert response.json["problems"]["database"] == "The database cannot be written."


def test_a_server_without_room_is_not_ready(
    anonymous: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    anonymous.client.get("/healthz")
    usage = SimpleNamespace(total=2**40, used=2**40 - 2**20, free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    response = anonymous.client.get("/readyz")

    assert response.status_code == 503
    assert response.json
    assert "MB are free" in response.json["problems"]["disk"]


def test_being_asked_often_costs_little(anonymous: Browser, services: Services) -> None:
    first = services.readiness.check()

    assert anonymous.client.get("/readyz").status_code == 200
    assert services.readiness.check() is first
