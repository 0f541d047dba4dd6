"""Building the application: what it starts, keeps and trusts."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask, request

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import SettingError
from app.factory import create_app
from app.services.container import Services


@pytest.fixture
def settings(tmp_path: Path, tiny_weights_dir: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tiny_weights_dir, device="cpu")


def services_of(app: Flask) -> Services:
    found: Services = app.extensions["veriscan"]
    return found


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
    assert engine.device == "cpu"
    assert app.config["MAX_CONTENT_LENGTH"] > 2**20
    assert app.config["MAX_FORM_PARTS"] < 1000


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


def test_a_wrong_setting_ends_the_start_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISCAN_NONSENSE", "1")

    with pytest.raises(SettingError, match="there is no such setting"):
        Settings.from_env()
    with pytest.raises(SystemExit, match=r"Veriscan cannot start\. VERISCAN_NONSENSE"):
        __import__("wsgi")
