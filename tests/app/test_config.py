from pathlib import Path

import pytest

from app.config import ROOT, Settings
from app.errors import SettingError

KEY = "k" * 32


def test_with_no_variables_the_data_lies_beside_the_code() -> None:
    settings = Settings.from_env({"PATH": "/usr/bin", "PORT": "8000"})

    assert settings == Settings()
    assert settings.data_dir == ROOT / "instance"
    assert settings.weights_dir == ROOT / "weights"
    assert settings.secret_key is None


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "VERISCAN_DATA_DIR": str(tmp_path / "data"),
            "VERISCAN_WEIGHTS_DIR": str(tmp_path / "weights"),
            "VERISCAN_DATABASE_URL": "postgresql://veriscan@db/veriscan",
            "VERISCAN_SECRET_KEY": KEY,
            "VERISCAN_MAX_UPLOAD_BYTES": "1048576",
            "VERISCAN_MAX_PIXELS": "1000000",
            "VERISCAN_VERDICT_WAIT_S": "2.5",
            "VERISCAN_QUEUE_SIZE": "3",
            "VERISCAN_MAX_BATCH": "4",
            "VERISCAN_DEVICE": "cpu",
            "VERISCAN_REGISTRATION_OPEN": "no",
            "VERISCAN_TRUSTED_PROXIES": "1",
            "VERISCAN_SECURE_COOKIES": "True",
            "VERISCAN_SESSION_LIFETIME_S": "600",
            "VERISCAN_LOG_LEVEL": "DEBUG",
        }
    )

    assert settings == Settings(
        data_dir=tmp_path / "data",
        weights_dir=tmp_path / "weights",
        database_url="postgresql://veriscan@db/veriscan",
        secret_key=KEY,
        max_upload_bytes=1048576,
        max_pixels=1000000,
        verdict_wait_s=2.5,
        queue_size=3,
        max_batch=4,
        device="cpu",
        registration_open=False,
        trusted_proxies=1,
        secure_cookies=True,
        session_lifetime_s=600,
        log_level="DEBUG",
    )


def test_there_is_a_variable_for_every_field() -> None:
    assert len(Settings.variables()) == len(Settings.__dataclass_fields__) + 1
    assert "VERISCAN_SECRET_KEY_FILE" in Settings.variables()


def test_a_misspelt_name_is_refused_and_the_right_one_proposed() -> None:
    with pytest.raises(SettingError, match=r"VERISCAN_DATADIR.*did you mean VERISCAN_DATA_DIR\?"):
        Settings.from_env({"VERISCAN_DATADIR": "/srv/veriscan"})


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(SettingError, match=r"known are .*VERISCAN_MAX_PIXELS"):
        Settings.from_env({"VERISCAN_ZZZZZZZZZZ": "1"})


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("VERISCAN_DATA_DIR", "", "path of a folder"),
        ("VERISCAN_DATA_DIR", "  ", "path of a folder"),
        ("VERISCAN_DATABASE_URL", "mysql://db/veriscan", "sqlite:///"),
        ("VERISCAN_DATABASE_URL", "sqlite://", "sqlite:///"),
        ("VERISCAN_DATABASE_URL", "sqlite:///", "sqlite:///"),
        ("VERISCAN_SECRET_KEY", "short", "32 random characters"),
        ("VERISCAN_SECRET_KEY", "", "32 random characters"),
        ("VERISCAN_SECRET_KEY_FILE", "/nowhere/key", "readable text file"),
        ("VERISCAN_MAX_UPLOAD_BYTES", "32MB", "whole number from 1024"),
        ("VERISCAN_MAX_UPLOAD_BYTES", "0", "whole number from 1024"),
        ("VERISCAN_MAX_PIXELS", "1e6", "whole number"),
        ("VERISCAN_VERDICT_WAIT_S", "nan", "number of seconds"),
        ("VERISCAN_VERDICT_WAIT_S", "-1", "number of seconds"),
        ("VERISCAN_VERDICT_WAIT_S", "soon", "number of seconds"),
        ("VERISCAN_QUEUE_SIZE", "0", "from 1 to"),
        ("VERISCAN_MAX_BATCH", "-3", "from 1 to"),
        ("VERISCAN_DEVICE", "gpu", "auto or cpu or cuda"),
        ("VERISCAN_REGISTRATION_OPEN", "maybe", "true or false"),
        ("VERISCAN_TRUSTED_PROXIES", "all", "whole number"),
        ("VERISCAN_SECURE_COOKIES", "", "true or false"),
        ("VERISCAN_SESSION_LIFETIME_S", "60", "from 300"),
        ("VERISCAN_LOG_LEVEL", "verbose", "DEBUG or INFO"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_accepted(name: str, value: str, accepted: str) -> None:
    with pytest.raises(SettingError, match=accepted) as refusal:
        Settings.from_env({name: value})

    assert refusal.value.name == name
    assert str(refusal.value).startswith(f"{name}: ")


def test_relative_paths_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = Settings.from_env(
        {
            "VERISCAN_DATA_DIR": "data",
            "VERISCAN_WEIGHTS_DIR": "../weights",
            "VERISCAN_DATABASE_URL": "sqlite:///data/records.sqlite3",
        }
    )

    assert settings.data_dir == tmp_path / "data"
    assert settings.weights_dir == tmp_path.parent / "weights"
    assert settings.database_url == f"sqlite:///{tmp_path}/data/records.sqlite3"


def test_the_secret_key_can_come_from_a_file(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n", encoding="utf-8")

    settings = Settings.from_env({"VERISCAN_SECRET_KEY_FILE": str(key_file)})

    assert settings.secret_key == KEY


def test_the_secret_key_cannot_come_from_two_places(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY, encoding="utf-8")

    with pytest.raises(SettingError, match="not both"):
        Settings.from_env({"VERISCAN_SECRET_KEY": KEY, "VERISCAN_SECRET_KEY_FILE": str(key_file)})


def test_a_file_with_too_short_a_key_is_refused(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("\n", encoding="utf-8")

    with pytest.raises(SettingError, match="VERISCAN_SECRET_KEY_FILE: give at least 32"):
        Settings.from_env({"VERISCAN_SECRET_KEY_FILE": str(key_file)})


def test_secrets_are_not_shown_when_the_settings_are_printed() -> None:
    settings = Settings(secret_key=KEY, database_url="postgresql://veriscan:hunter@db/veriscan")

    assert KEY not in repr(settings)
    assert "hunter" not in repr(settings)


def test_a_database_password_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_env({"VERISCAN_DATABASE_URL": "mysql://veriscan:hunter@db/veriscan"})

    assert "hunter" not in str(refusal.value)


# --- keeping a server -------------------------------------------------------------------------


def test_trusted_hosts_are_a_list_of_names() -> None:
    value = "Veriscan.hospital.org, .clinic.org,127.0.0.1"

    settings = Settings.from_env({"VERISCAN_TRUSTED_HOSTS": value})

    assert settings.trusted_hosts == ("veriscan.hospital.org", ".clinic.org", "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERISCAN_TRUSTED_HOSTS", ""),
        ("VERISCAN_TRUSTED_HOSTS", " , "),
        ("VERISCAN_TRUSTED_HOSTS", "https://hospital.org"),
        ("VERISCAN_TRUSTED_HOSTS", "hospital.org:443"),
        ("VERISCAN_TRUSTED_HOSTS", "*"),
        ("VERISCAN_METRICS_TOKEN", "short"),
        ("VERISCAN_LOG_FORMAT", "xml"),
        ("VERISCAN_STORAGE_KEY_FILE", "/nowhere/key"),
    ],
)
def test_a_value_that_would_protect_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.from_env({name: value})
