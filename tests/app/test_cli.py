import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskCliRunner

from app.config import Settings
from app.factory import create_app
from app.records import Role
from app.services.container import Services
from app.storage.images import ImageStore, Picture
from app.web.api.description import DOCUMENT
from tests.factories import (
    dicom_bytes,
    make_grey,
    png_bytes,
    publish_tiny_gate,
    publish_tiny_weights,
)

ROOT = Path(__file__).parents[2]
PASSWORD = "ravine otter lamp 91"
FIELDS = {"path", *DOCUMENT["components"]["schemas"]["Analysis"]["properties"]} - {"error"}
"""Those of the API, and the file."""


@pytest.fixture
def app(tmp_path: Path, tiny_weights_dir: Path) -> Iterator[Flask]:
    settings = Settings(
        data_dir=tmp_path / "data", weights_dir=tiny_weights_dir, device="cpu", max_pixels=100_000
    )
    app = create_app(settings)
    yield app
    services_of(app).stop()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(png_bytes())
    return path


def services_of(app: Flask) -> Services:
    services: Services = app.extensions["veriscan"]
    return services


def analyse(runner: FlaskCliRunner, *arguments: object, modality: str = "lung_ct") -> Result:
    return runner.invoke(args=["analyse", "--modality", modality, *map(str, arguments)])


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- create-admin -----------------------------------------------------------------------------


def test_making_an_admin_does_not_wait_for_torch_to_load(tmp_path: Path) -> None:
    code = "import sys, wsgi; print('torch' in sys.modules)"
    environment = os.environ | {"VERISCAN_DATA_DIR": str(tmp_path / "data")}

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )

    assert done.stdout == "False\n"


def test_an_admin_is_made_with_the_password_from_the_standard_input(
    app: Flask, runner: FlaskCliRunner
) -> None:
    result = runner.invoke(
        args=["create-admin", "root", "--email", "root@hospital.org"], input=f"{PASSWORD}\n"
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "The administrator root can sign in now.\n"
    user = services_of(app).identity.sign_in.check_password("root", PASSWORD)
    assert user.role is Role.ADMIN
    assert PASSWORD not in result.output


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(
    app: Flask, runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.is_at_a_terminal", lambda: True)
    arguments = ["create-admin", "root", "--email", "root@hospital.org"]

    result = runner.invoke(args=arguments, input=f"{PASSWORD}\nanother\n{PASSWORD}\n{PASSWORD}\n")

    assert result.exit_code == 0
    assert "do not match" in result.output
    assert PASSWORD not in result.output
    assert services_of(app).identity.sign_in.check_password("root", PASSWORD).role is Role.ADMIN


def test_a_mobile_number_may_be_given(app: Flask, runner: FlaskCliRunner) -> None:
    arguments = [
        "create-admin",
        "root",
        "--email",
        "root@hospital.org",
        "--mobile",
        "0049151234567",
    ]

    assert runner.invoke(args=arguments, input=PASSWORD).exit_code == 0

    assert services_of(app).accounts.list_users()[0].mobile == "+49151234567"


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (["1", "--email", "root@hospital.org"], PASSWORD, "username: Use 3 to 32"),
        (["root", "--email", "nowhere"], PASSWORD, "email: This is not an e-mail address"),
        (["root", "--email", "a@b.org", "--mobile", "12"], PASSWORD, "mobile: This is not a"),
        (["root", "--email", "a@b.org"], "", "password: Use at least 12"),
        (["root", "--email", "a@b.org"], "password1234", "password: This password is easily"),
    ],
)
def test_an_admin_with_a_bad_field_is_not_made(
    app: Flask, runner: FlaskCliRunner, arguments: list[str], password: str, message: str
) -> None:
    result = runner.invoke(args=["create-admin", *arguments], input=password)

    assert result.exit_code == 1
    assert message in result.stderr
    assert services_of(app).accounts.list_users() == []


def test_a_second_admin_of_the_same_name_is_not_made(app: Flask, runner: FlaskCliRunner) -> None:
    for email, exit_code in (("a@hospital.org", 0), ("b@hospital.org", 1)):
        result = runner.invoke(args=["create-admin", "root", "--email", email], input=PASSWORD)
        assert result.exit_code == exit_code

    assert "username: This username is taken" in result.stderr
    assert len(services_of(app).accounts.list_users()) == 1


# --- analyse ----------------------------------------------------------------------------------


def test_every_scan_gets_a_line(runner: FlaskCliRunner, tmp_path: Path, scan: Path) -> None:
    slice_ = tmp_path / "slice.dcm"
    slice_.write_bytes(dicom_bytes())

    result = analyse(runner, scan, slice_)

    assert result.exit_code == 0, result.output
    lines = lines_of(result)
    assert [line["path"] for line in lines] == [str(scan), str(slice_)]
    for line in lines:
        assert set(line) == FIELDS
        assert (line["status"], line["modality"], line["links"]) == ("done", "lung_ct", {})
        assert line["verdict"] in ("real", "fake", "inconclusive")
        assert 0 <= line["probability_fake"] <= 1
        assert line["weights"]["name"] == "tiny"


def test_nothing_is_stored(app: Flask, runner: FlaskCliRunner, scan: Path) -> None:
    analyse(runner, scan)

    data_dir = services_of(app).settings.data_dir
    assert list(data_dir.rglob("*.png")) == []
    assert not (data_dir / "users.json").exists()


def test_a_bad_file_has_its_reason_on_its_line_and_the_others_go_on(
    runner: FlaskCliRunner, tmp_path: Path, scan: Path
) -> None:
    text, folder = tmp_path / "text.png", tmp_path / "folder"
    text.write_text("just a text", encoding="utf-8")
    folder.mkdir()
    missing, locked = tmp_path / "missing.png", tmp_path / "loop.png"
    locked.symlink_to(locked)

    result = analyse(runner, text, folder, missing, locked, scan)

    assert result.exit_code == 1
    *refused, judged = lines_of(result)
    assert [set(line) for line in refused] == [{"path", "error"}] * 4
    assert [line["error"] for line in refused] == [
        "This is not a PNG, JPEG, TIFF, BMP or DICOM image, whatever its name says. "
        "Export the scan in one of these formats.",
        "This is a folder. Name the files in it instead.",
        "There is no such file.",
        "The file cannot be read (Too many levels of symbolic links).",
    ]
    assert judged["status"] == "done"


def test_the_limits_of_the_settings_hold(
    runner: FlaskCliRunner, tmp_path: Path, scan: Path
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(png_bytes(make_grey(400, 400)))

    result = analyse(runner, large, "/dev/zero", scan)

    assert result.exit_code == 1
    pixels, endless, judged = lines_of(result)
    assert "400 × 400" in pixels["error"]
    assert "larger than 32 MB" in endless["error"]
    assert judged["status"] == "done"


def test_an_unknown_modality_is_refused_with_those_that_exist(
    runner: FlaskCliRunner, scan: Path
) -> None:
    result = analyse(runner, scan, modality="brain_mri")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Known: knee_xray, lung_ct" in result.stderr


def test_a_modality_without_weights_is_refused(tmp_path: Path, scan: Path) -> None:
    weights_dir = tmp_path / "weights"
    publish_tiny_weights(weights_dir, "lung_ct")
    app = create_app(Settings(data_dir=tmp_path / "data", weights_dir=weights_dir, device="cpu"))

    result = analyse(app.test_cli_runner(), scan, modality="knee_xray")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Knee X-ray cannot be analysed at present" in result.stderr
    services_of(app).stop()


def test_what_the_gate_stops_is_judged_only_on_request(tmp_path: Path, scan: Path) -> None:
    weights_dir = tmp_path / "weights"
    publish_tiny_weights(weights_dir, "lung_ct")
    publish_tiny_gate(weights_dir, "lung_ct", lets_pass=False)
    app = create_app(Settings(data_dir=tmp_path / "data", weights_dir=weights_dir, device="cpu"))

    (stopped,) = lines_of(analyse(app.test_cli_runner(), scan))
    (judged,) = lines_of(analyse(app.test_cli_runner(), "--override-gate", scan))

    assert (stopped["status"], stopped["verdict"]) == ("done", "not_judged")
    assert stopped["gate"]["looks_right"] is False
    assert judged["verdict"] in ("real", "fake", "inconclusive")
    assert judged["override_gate"] is True
    assert judged["gate"]["overridden"] is True
    services_of(app).stop()


@pytest.mark.parametrize("arguments", [[], ["--modality", "lung_ct"], ["scan.png"]])
def test_without_modality_or_paths_the_use_is_explained(
    runner: FlaskCliRunner, arguments: list[str]
) -> None:
    result = runner.invoke(args=["analyse", *arguments])

    assert result.exit_code == 2
    assert "Usage:" in result.stderr


# --- labels and keys ------------------------------------------------------------------------


def test_export_labels_says_when_there_is_nothing_to_export(
    runner: FlaskCliRunner, tmp_path: Path
) -> None:
    result = runner.invoke(args=["export-labels", str(tmp_path / "labels")])

    assert result.exit_code == 0
    assert "no settled case" in result.stderr


def test_export_labels_refuses_a_folder_with_something_in_it(
    runner: FlaskCliRunner, tmp_path: Path
) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "old.png").write_bytes(b"")

    result = runner.invoke(args=["export-labels", str(tmp_path / "labels")])

    assert result.exit_code == 1
    assert "not empty" in result.stderr


@pytest.mark.parametrize("withdraw", [True, False])
def test_rotate_signing_key_makes_another_key(
    app: Flask, runner: FlaskCliRunner, withdraw: bool
) -> None:
    signing = services_of(app).signing
    former = signing.signer().key_id

    result = runner.invoke(args=["rotate-signing-key", *(["--withdraw"] if withdraw else [])])

    assert result.exit_code == 0
    assert signing.signer().key_id in result.stdout
    assert signing.signer().key_id != former
    key = signing.find_key(former)
    assert key is not None
    assert (key.withdrawn is not None) is withdraw


def test_the_trail_is_anchored_anew_after_a_change_of_the_secret_key(
    app: Flask, runner: FlaskCliRunner, tmp_path: Path
) -> None:
    audit = services_of(app).audit
    audit.record("test.done", actor=None)
    fits = runner.invoke(args=["reanchor-audit"])
    assert "The anchor fits already" in fits.stdout
    other = create_app(replace(services_of(app).settings, secret_key="another key " * 3))

    checked = other.test_cli_runner().invoke(args=["verify-audit"])
    assert checked.exit_code == 1
    done = other.test_cli_runner().invoke(args=["reanchor-audit"])
    assert "The trail is anchored anew. Events that were found right: 1." in done.stdout
    assert other.test_cli_runner().invoke(args=["verify-audit"]).exit_code == 0
    services_of(other).stop()


# --- keeping a server -------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_purged_and_a_purge_does_it(
    app: Flask, runner: FlaskCliRunner
) -> None:
    services_of(app).site_settings.change({"retention_days": 1}, actor=None)

    dry = runner.invoke(args=["purge", "--dry-run"])
    done = runner.invoke(args=["purge"])

    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert "to remove:        0 analyses" in dry.stdout
    assert "removed:        0 analyses" in done.stdout


def test_a_purge_says_that_this_site_keeps_scans(runner: FlaskCliRunner) -> None:
    assert "keeps scans until their owners delete them" in runner.invoke(args=["purge"]).stdout


def test_a_backup_is_restored_into_an_empty_folder_and_no_other(
    app: Flask, runner: FlaskCliRunner, tmp_path: Path
) -> None:
    runner.invoke(args=["create-admin", "root", "--email", "root@x.org"], input=f"{PASSWORD}\n")
    path = str(tmp_path / "backup.tar")

    made = runner.invoke(args=["backup", path])
    restored = runner.invoke(args=["restore", path, str(tmp_path / "new")])
    again = runner.invoke(args=["restore", path, str(tmp_path / "new")])

    assert (made.exit_code, made.stdout) == (0, "backup.tar holds 0 analyses.\n")
    assert restored.exit_code == 0, restored.output
    assert (tmp_path / "new" / "users.json").is_file()
    assert again.exit_code == 1
    assert "not empty" in again.stderr


def test_without_a_storage_key_there_is_nothing_to_rotate(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["rotate-storage-key"])

    assert result.exit_code == 1
    assert "VERISCAN_STORAGE_KEY_FILE" in result.stderr


def test_the_storage_key_is_rotated(tmp_path: Path, tiny_weights_dir: Path) -> None:
    key = tmp_path / "key"
    key.write_text(base64.b64encode(os.urandom(32)).decode())
    settings = Settings(
        data_dir=tmp_path / "data", weights_dir=tiny_weights_dir, storage_key_file=key
    )
    ImageStore(make_folder(settings.data_dir)).put(uuid4(), Picture.SCAN, b"plain")
    app = create_app(settings)

    result = app.test_cli_runner().invoke(args=["rotate-storage-key"])

    assert result.stdout == (
        "All 1 pictures are encrypted with the first key; 1 were not before.\n"
    )
    services_of(app).stop()


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path
