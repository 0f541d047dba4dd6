"""Fixtures of the stores, and records to put in."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.records import Analysis, AnalysisStatus, Role, User
from app.storage.database import Database, sqlite_url
from app.storage.users import UserStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

UserFactory = Callable[..., User]
AnalysisFactory = Callable[..., Analysis]


@pytest.fixture
def users(tmp_path: Path) -> Iterator[UserStore]:
    """An empty store of accounts in ``tmp_path``."""
    store = UserStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database in ``tmp_path``."""
    database = Database(sqlite_url(tmp_path))
    yield database
    database.close()


@pytest.fixture
def make_user() -> UserFactory:
    """Return what makes users that differ in id, name and address unless told otherwise."""

    def make(username: str = "alice", **changes: Any) -> User:
        fields: dict[str, Any] = {
            "id": uuid4(),
            "username": username,
            "email": f"{username}@hospital.org",
            "mobile": "+4915123456789",
            "password_hash": "scrypt:1:1:1$salt$hash",
            "role": Role.CLINICIAN,
            "is_active": True,
            "created": NOON,
        }
        return User(**(fields | changes))

    return make


@pytest.fixture
def make_analysis() -> AnalysisFactory:
    """Return what makes queued analyses that differ in id unless told otherwise."""

    def make(**changes: Any) -> Analysis:
        fields: dict[str, Any] = {
            "id": uuid4(),
            "user_id": uuid4(),
            "modality": "lung_ct",
            "status": AnalysisStatus.QUEUED,
            "created": NOON,
            "image_sha256": "a" * 64,
            "image_format": "PNG",
            "width": 96,
            "height": 80,
        }
        return Analysis(**(fields | changes))

    return make
