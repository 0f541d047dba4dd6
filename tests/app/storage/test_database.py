import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from app.errors import StorageError
from app.storage.analyses import AnalysisStore
from app.storage.database import (
    API_TOKENS,
    FILE_NAME,
    METADATA,
    SCHEMA_VERSION,
    SCHEMA_VERSIONS,
    Database,
    UtcDateTime,
    sqlite_url,
)
from tests.app.storage.conftest import SQLITE, opened


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database, of which most of these tests are."""
    with opened(SQLITE, tmp_path) as database:
        yield database


def test_a_new_database_has_its_tables_and_its_version(database: Database) -> None:
    with database.reading() as connection:
        tables = sa.inspect(connection).get_table_names()
        version = connection.scalar(sa.select(SCHEMA_VERSIONS.c.version))

    assert {"analyses", "api_tokens", "schema_version"} <= set(tables)
    assert version == SCHEMA_VERSION


def test_it_is_durable_and_lets_readers_and_a_writer_work_together(database: Database) -> None:
    def pragma(name: str) -> object:
        with database.reading() as connection:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL
    assert pragma("foreign_keys") == 1
    assert pragma("busy_timeout") == 10_000


def test_only_the_owner_can_read_the_files(tmp_path: Path, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(SCHEMA_VERSIONS.select())

    files = list(tmp_path.glob(f"{FILE_NAME}*"))

    assert files
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_it_is_opened_again_with_what_is_in_it(tmp_path: Path, database: Database) -> None:
    again = Database(sqlite_url(tmp_path))

    with again.reading() as connection:
        assert connection.execute(SCHEMA_VERSIONS.select()).all() == [(SCHEMA_VERSION,)]
    again.close()


def test_several_starts_at_once_make_one_schema(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        databases = list(pool.map(lambda _: Database(sqlite_url(tmp_path)), range(8)))
    for database in databases:
        database.close()

    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        versions = connection.execute("SELECT version FROM schema_version").fetchall()
    connection.close()
    assert versions == [(SCHEMA_VERSION,)]


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(SCHEMA_VERSIONS.update().values(version=SCHEMA_VERSION + 1))

    with pytest.raises(StorageError, match=f"of version {SCHEMA_VERSION + 1}"):
        Database(sqlite_url(tmp_path))


VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE analyses (
    id CHAR(32) NOT NULL, user_id CHAR(32) NOT NULL, modality VARCHAR(64) NOT NULL,
    status VARCHAR(16) NOT NULL, created DATETIME NOT NULL, finished DATETIME,
    image_sha256 VARCHAR(64) NOT NULL, image_format VARCHAR(16) NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, declared_synthetic BOOLEAN NOT NULL,
    error TEXT, verdict VARCHAR(16), probability_fake DOUBLE, threshold DOUBLE, band_low DOUBLE,
    band_high DOUBLE, reasons JSON, weights_name VARCHAR(128), weights_sha256 VARCHAR(64),
    device VARCHAR(32), inference_ms DOUBLE, PRIMARY KEY (id)
);
CREATE TABLE api_tokens (
    id CHAR(32) NOT NULL, user_id CHAR(32) NOT NULL, name VARCHAR(60) NOT NULL,
    digest VARCHAR(64) NOT NULL, created DATETIME NOT NULL, last_used DATETIME, PRIMARY KEY (id),
    UNIQUE (digest)
);
INSERT INTO schema_version VALUES (1);
INSERT INTO analyses VALUES (
    '00000000000040008000000000000001', '00000000000040008000000000000002', 'lung_ct', 'done',
    '2026-11-20 12:00:00.000000', '2026-11-20 12:00:01.000000', 'aa', 'PNG', 96, 80, 0, NULL,
    'fake', 0.97, 0.5, 0.2, 0.8, '["One."]', 'efficientnet_b4', 'bb', 'cpu', 41.25
);
"""
"""A database as the first version of Veriscan wrote it."""


def write_version_1(folder: Path) -> None:
    with sqlite3.connect(folder / FILE_NAME) as connection:
        connection.executescript(VERSION_1)
    connection.close()


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    write_version_1(tmp_path)

    database = Database(sqlite_url(tmp_path))
    (old,) = AnalysisStore(database).page_of_user(
        UUID("00000000-0000-4000-8000-000000000002"), offset=0, limit=9
    )

    assert old.finding is not None
    assert old.finding.probability_fake == 0.97
    assert (old.finding.gate, old.finding.stability, old.override_gate) == (None, None, False)
    again = replace(old, id=uuid4(), override_gate=True)
    AnalysisStore(database).add(again)
    assert AnalysisStore(database).get(again.id) == again
    with database.reading() as connection:
        assert connection.scalar(sa.select(SCHEMA_VERSIONS.c.version)) == SCHEMA_VERSION
    database.close()


def test_an_upgraded_database_has_the_columns_of_a_new_one(
    tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    write_version_1(folder)
    upgraded = Database(sqlite_url(folder))

    def columns(of: Database) -> dict[str, tuple[str, bool]]:
        with of.reading() as connection:
            found = sa.inspect(connection).get_columns("analyses")
        return {c["name"]: (str(c["type"]), bool(c["nullable"])) for c in found}

    assert columns(upgraded) == columns(database)
    upgraded.close()


def test_several_starts_at_once_upgrade_once(tmp_path: Path) -> None:
    write_version_1(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        databases = list(pool.map(lambda _: Database(sqlite_url(tmp_path)), range(8)))

    for database in databases:
        database.close()


def test_a_transaction_that_fails_changes_nothing(database: Database) -> None:
    def change_and_fail() -> None:
        with database.writing() as connection:
            connection.execute(SCHEMA_VERSIONS.delete())
            connection.exec_driver_sql("SELECT nonsense FROM nowhere")

    with pytest.raises(StorageError):
        change_and_fail()

    with database.reading() as connection:
        assert connection.scalar(sa.select(SCHEMA_VERSIONS.c.version)) == SCHEMA_VERSION


def test_many_writers_wait_for_each_other(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(SCHEMA_VERSIONS.update().values(version=0))

    def count_up() -> None:
        for _ in range(5):
            with database.writing() as connection:
                # Reading first is what makes two writers deadlock unless the lock is taken before.
                version = connection.execute(sa.select(SCHEMA_VERSIONS.c.version)).scalar_one()
                connection.execute(SCHEMA_VERSIONS.update().values(version=version + 1))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(count_up) for _ in range(8)]:
            future.result()

    with database.reading() as connection:
        assert connection.scalar(sa.select(SCHEMA_VERSIONS.c.version)) == 40


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is not a database, whatever its name says")

    with pytest.raises(StorageError, match="database cannot be read"):
        Database(sqlite_url(tmp_path))


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Database(sqlite_url(tmp_path / "missing"))


def test_a_database_without_its_driver_is_reported_without_its_password() -> None:
    with pytest.raises(StorageError, match="VERISCAN_DATABASE_URL") as refusal:
        Database("postgresql+nodriver://veriscan:hunter@db/veriscan")

    assert "hunter" not in str(refusal.value)


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_a_time_comes_back_in_utc_whatever_zone_the_database_answers_in(
    zone: timezone | None,
) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    answer = ten.replace(tzinfo=None) if zone is None else ten.astimezone(zone)

    stored = UtcDateTime().process_result_value(answer, postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's

    assert stored == ten
    assert stored.tzinfo is UTC


def test_the_tables_can_be_made_in_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's

    statements = [
        str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.tables.values()
    ]
    statements += [str(CreateIndex(i).compile(dialect=dialect)) for i in API_TOKENS.indexes]

    assert any("TIMESTAMP WITH TIME ZONE" in statement for statement in statements)
    assert any("id UUID NOT NULL" in statement for statement in statements)
