"""A data folder that the first version of Veriscan wrote works in this one."""

import json
import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.factory import create_app
from app.services.accounts.passwords import PasswordService
from app.services.decoding.pool import DecodingPool
from app.storage.images import ImageStore, Picture
from tests.app.storage.test_database import VERSION_1
from tests.factories import png_bytes
from tests.people import PASSWORD

USER = UUID("00000000-0000-4000-8000-000000000002")
ANALYSIS = UUID("00000000-0000-4000-8000-000000000001")
VERSION_2 = """
ALTER TABLE analyses ADD COLUMN override_gate BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE analyses ADD COLUMN gate JSON;
ALTER TABLE analyses ADD COLUMN stability JSON;
UPDATE schema_version SET version = 2;
"""


def write_accounts(data_dir: Path, passwords: PasswordService) -> None:
    user = {
        "username": "alice",
        "email": "alice@hospital.org",
        "mobile": "+4915123456789",
        "password_hash": passwords.hash(PASSWORD),
        "role": "clinician",
        "is_active": True,
        "created": "2026-11-20T12:00:00+00:00",
    }
    (data_dir / "users.json").write_text(json.dumps({"users": {str(USER): user}}))


@pytest.mark.parametrize("sql", [VERSION_1, VERSION_1 + VERSION_2], ids=["first", "second"])
def test_accounts_verdicts_and_scans_of_an_older_version_are_there(
    tmp_path: Path, engine: InProcessEngine, decoding_pool: DecodingPool, sql: str
) -> None:
    passwords = PasswordService("scrypt:128:8:1")
    write_accounts(tmp_path, passwords)
    with sqlite3.connect(tmp_path / "veriscan.sqlite3") as connection:
        connection.executescript(sql)
    connection.close()
    ImageStore(tmp_path).put(ANALYSIS, Picture.SCAN, png_bytes())

    app = create_app(Settings(data_dir=tmp_path), engine, passwords, pool=decoding_pool)
    services = app.extensions["veriscan"]
    services.start()
    alice = services.identity.sign_in.check_password("alice", PASSWORD)
    (old,) = services.analyses.history(alice).analyses

    assert (alice.id, old.id) == (USER, ANALYSIS)
    assert services.analyses.scan_png(alice, ANALYSIS) == png_bytes()
    new = services.analyses.submit(alice, "lung_ct", png_bytes())
    assert services.analyses.wait(new.id, 30).finding is not None
    assert (
        services.accounts.change_contact(USER, email="new@hospital.org", mobile=alice.mobile).email
        == "new@hospital.org"
    )
    assert services.audit.verify().is_whole
    services.stop()
