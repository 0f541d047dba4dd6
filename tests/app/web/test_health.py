"""What machines are told that watch this one."""

from pathlib import Path

from app.engine.engine import InProcessEngine
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
