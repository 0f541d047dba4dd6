"""Fixtures of the stores, and records to put in."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.records import Analysis, AnalysisStatus, Role, User
from app.storage.database import METADATA, SCHEMA_VERSIONS, Database, sqlite_url
from app.storage.sql_users import SQLUserStore
from app.storage.tinydb_users import TinyDBUserStore
from app.storage.users import UserStore
from tests import postgresql

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

SQLITE, POSTGRESQL = "sqlite", "postgresql"
DATABASES = (SQLITE, POSTGRESQL)

UserFactory = Callable[..., User]
AnalysisFactory = Callable[..., Analysis]


@pytest.fixture(params=("tinydb", *DATABASES))
def users(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UserStore]:
    """An empty store of accounts, of each kind in turn: what one does, all must do."""
    if request.param == "tinydb":
        with closing(TinyDBUserStore(tmp_path)) as store:
            yield store
        return
    with opened(request.param, tmp_path) as database:
        yield SQLUserStore(database)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database: SQLite in ``tmp_path``, then PostgreSQL.

    What a store does on the one it must do on the other.
    """
    with opened(request.param, tmp_path) as database:
        yield database


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Database]:
    """Give an empty database of a kind, one of ``DATABASES``."""
    database = Database(sqlite_url(folder) if kind == SQLITE else postgresql.url())
    with closing(database):
        if kind != SQLITE:
            empty(database)
        yield database


def empty(database: Database) -> None:
    """Remove every row but that of the schema's version."""
    with database.writing() as connection:
        # Otherwise the triggers of the audit trail would refuse.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in reversed(METADATA.sorted_tables):
            if table is not SCHEMA_VERSIONS:
                connection.execute(table.delete())


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


@pytest.fixture(scope="session")
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
