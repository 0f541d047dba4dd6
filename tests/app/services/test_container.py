from pathlib import Path

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import StorageError
from app.services.accounts.passwords import PasswordService
from app.services.container import build_services
from app.storage.database import sqlite_url

KEY = "k" * 40


def test_a_first_start_makes_a_private_data_folder(
    tmp_path: Path, engine: InProcessEngine, passwords: PasswordService
) -> None:
    data_dir = tmp_path / "deep" / "data"

    services = build_services(Settings(data_dir=data_dir), engine, passwords)

    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert services.secret_key == (data_dir / "secret_key").read_text(encoding="utf-8")
    for path in data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
    services.stop()


def test_a_secret_key_that_was_given_is_used_and_not_written(
    tmp_path: Path, engine: InProcessEngine, passwords: PasswordService
) -> None:
    settings = Settings(data_dir=tmp_path / "data", secret_key=KEY)

    services = build_services(settings, engine, passwords)

    assert services.secret_key == KEY
    assert not (tmp_path / "data" / "secret_key").exists()
    assert KEY not in repr(services)
    services.stop()


def test_the_database_can_lie_elsewhere(
    tmp_path: Path, engine: InProcessEngine, passwords: PasswordService
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=sqlite_url(tmp_path))

    build_services(settings, engine, passwords).stop()

    assert (tmp_path / "veriscan.sqlite3").exists()
    assert not (tmp_path / "data" / "veriscan.sqlite3").exists()


def test_a_data_folder_that_cannot_be_made_is_reported(
    tmp_path: Path, engine: InProcessEngine
) -> None:
    (tmp_path / "data").write_bytes(b"")

    with pytest.raises(StorageError, match="VERISCAN_DATA_DIR"):
        build_services(Settings(data_dir=tmp_path / "data"), engine)
