import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from app.errors import StorageError
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


def test_a_new_database_has_its_tables_and_its_version(database: Database) -> None:
    with database.reading() as connection:
        tables = sa.inspect(connection).get_table_names()
        version = connection.scalar(sa.select(SCHEMA_VERSIONS.c.version))

    assert set(tables) == {"analyses", "api_tokens", "schema_version"}
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
