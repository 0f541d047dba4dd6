"""Building the application: what it starts, keeps and trusts."""

import io
import logging
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from gunicorn.arbiter import Arbiter

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.factory import create_app
from app.services.container import Services
from tests.people import application_of


@pytest.fixture
def settings(tmp_path: Path, tiny_weights_dir: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tiny_weights_dir, device="cpu")


def services_of(app: Flask) -> Services:
    found: Services = app.extensions["veriscan"]
    return found


def signed_in(app: Flask) -> FlaskClient:
    """Return the browser of a new user, of which no request was made yet."""
    identity, client = services_of(app).identity, app.test_client()
    user = identity.registration.register(application_of("alice"))
    with client.session_transaction() as session:
        session["_user_id"] = identity.sign_in.begin_session_of(user, "a browser")
    return client


def test_building_loads_no_weights_and_the_first_request_does(settings: Settings) -> None:
    app = create_app(settings)
    services = services_of(app)
    assert not any(item.is_available for item in services.analyses.modalities().values())

    assert app.test_client().get("/readyz").status_code == 200

    services.stop()


def test_the_engine_may_be_given(settings: Settings, engine: InProcessEngine) -> None:
    assert services_of(create_app(settings, engine)).engine is engine


def test_the_settings_reach_the_engine_and_the_limits(settings: Settings) -> None:
    app = create_app(replace(settings, queue_size=3, max_batch=2, max_upload_bytes=2**20))

    engine = services_of(app).engine
    assert isinstance(engine, InProcessEngine)
    assert (engine._queue._max_scans, engine._max_batch, engine.device) == (3, 2, "cpu")


def test_only_requests_that_bring_scans_may_be_large(settings: Settings) -> None:
    app = create_app(replace(settings, max_upload_bytes=2**20, max_archive_bytes=2**23))
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # it would answer first
    client = signed_in(app)
    limits: list[int | None] = []

    @app.before_request
    def note_limit() -> str:
        limits.append(request.max_content_length)
        return "noted"

    for path, mimetype in (
        ("/analyses", "multipart/form-data"),
        ("/api/v1/analyses", "multipart/form-data"),
        ("/analyses", "application/x-www-form-urlencoded"),
        ("/sign-in", "multipart/form-data"),
    ):
        client.post(path, content_type=f"{mimetype}; boundary=x")

    # An archive, or four scans, and the form around them.
    assert limits == [9 * 2**20, 5 * 2**20, 2**17, 2**17]
    services_of(app).stop()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/analyses", 302),
        (f"/analyses/uploads/{UUID(int=1)}/files", 302),
        ("/admin/calibration/scans", 302),
        ("/api/v1/analyses", 401),
        ("/api/v1/uploads", 401),
    ],
)
def test_of_what_a_stranger_sends_nothing_is_kept(
    settings: Settings, engine: InProcessEngine, path: str, status: int
) -> None:
    body = io.BytesIO(b"--x\r\n" + bytes(2**20))

    client = create_app(settings, engine).test_client()
    response = client.post(path, input_stream=body, content_type="multipart/form-data; boundary=x")

    assert (response.status_code, body.tell()) == (status, 0)


def test_a_secret_key_is_made_once_and_kept_from_others(settings: Settings) -> None:
    first, second = create_app(settings), create_app(settings)

    assert first.secret_key == second.secret_key
    assert len(str(first.secret_key)) >= 32
    assert (settings.data_dir / "secret_key").stat().st_mode & 0o777 == 0o600


def test_the_commands_are_there(settings: Settings) -> None:
    assert {"create-admin", "analyse"} <= set(create_app(settings).cli.commands)


@pytest.mark.parametrize(("proxies", "address"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_only_as_many_proxies_are_believed_as_the_setting_says(
    settings: Settings, engine: InProcessEngine, proxies: int, address: str
) -> None:
    app = create_app(replace(settings, trusted_proxies=proxies), engine)
    seen: list[str | None] = []
    app.before_request(lambda: seen.append(request.remote_addr))

    app.test_client().get("/healthz", headers={"X-Forwarded-For": "203.0.113.9"})

    assert seen == [address]


def test_readers_of_images_log_no_headers(settings: Settings) -> None:
    create_app(settings)

    assert not logging.getLogger("pydicom").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VERISCAN_NONSENSE", "1", "VERISCAN_NONSENSE: there is no such setting"),
        ("VERISCAN_DATA_DIR", "/dev/null/data", "The data folder cannot be made"),
    ],
)
def test_what_cannot_start_ends_with_a_sentence_and_not_as_if_it_could_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as end:
        __import__("wsgi")

    assert end.value.code == Arbiter.WORKER_BOOT_ERROR
    assert capsys.readouterr().err.startswith(f"Veriscan cannot start. {message}")
