"""The SQL database: SQLite in the data folder, or PostgreSQL, where accounts are in it as well."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from app.errors import StorageError
from app.storage.files import PRIVATE_FILE_MODE, ProcessLock
from app.storage.null_characters import without_null_characters

FILE_NAME = "veriscan.sqlite3"
SCHEMA_VERSION = 3
BUSY_TIMEOUT_MS = 10_000
POSTGRESQL_SCHEMA_LOCK = 0x5645524953434E  # any number, the same in every process
WRITES = "veriscan_writes"
SQLITE_PRIMARY_CODE = 0xFF  # of an error's code; the rest says more precisely what it is

METADATA = sa.MetaData()


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A time in UTC; SQLite forgets the zone, and PostgreSQL answers in that of the connection."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Turn any zone into UTC on the way in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Say that it is UTC on the way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


SCHEMA_VERSIONS = sa.Table(
    "schema_version", METADATA, sa.Column("version", sa.Integer, primary_key=True)
)

ANALYSES = sa.Table(
    "analyses",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("modality", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("finished", UtcDateTime),
    sa.Column("image_sha256", sa.String(64), nullable=False),
    sa.Column("image_format", sa.String(16), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("declared_synthetic", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text),
    # The finding; all of them are null until the status is "done".
    sa.Column("verdict", sa.String(16)),
    sa.Column("probability_fake", sa.Double),
    sa.Column("threshold", sa.Double),
    sa.Column("band_low", sa.Double),
    sa.Column("band_high", sa.Double),
    sa.Column("reasons", sa.JSON(none_as_null=True)),
    sa.Column("weights_name", sa.String(128)),
    sa.Column("weights_sha256", sa.String(64)),
    sa.Column("device", sa.String(32)),
    sa.Column("inference_ms", sa.Double),
    # Since version 2.
    sa.Column("override_gate", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("gate", sa.JSON(none_as_null=True)),
    sa.Column("stability", sa.JSON(none_as_null=True)),
    # Since version 3.
    sa.Column("burned_in_text", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("hu_of_black", sa.Double),
    sa.Column("hu_of_white", sa.Double),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"),
    # A slice of a study for which another slice stands where a study is one line of a list.
    sa.Column("folded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("analyses_of_user", "user_id", "created", "id"),
    # One for each way in which a history can be filtered and sorted, so that no page of it costs
    # more than it shows.
    sa.Index("analyses_by_outcome", "user_id", "status", "verdict", "created", "id"),
    sa.Index("analyses_by_modality", "user_id", "modality", "created", "id"),
    sa.Index(
        "analyses_by_modality_and_outcome",
        *("user_id", "modality", "status", "verdict", "created", "id"),
    ),
    sa.Index("analyses_by_score", "user_id", "probability_fake", "id"),
    sa.Index(
        "analyses_by_outcome_and_score", *("user_id", "status", "verdict", "probability_fake", "id")
    ),
    sa.Index("analyses_by_modality_and_score", "user_id", "modality", "probability_fake", "id"),
    sa.Index("analyses_by_line", "user_id", "folded", "created", "id"),
    sa.Index("analyses_by_line_and_modality", "user_id", "folded", "modality", "created", "id"),
    sa.Index("analyses_by_image", "user_id", "image_sha256"),
    sa.Index("analyses_by_status", "status", "created"),
)

API_TOKENS = sa.Table(
    "api_tokens",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False, index=True),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("last_used", UtcDateTime),
    # Since version 3.
    sa.Column("scopes", sa.String(200)),
    sa.Column("expires", UtcDateTime),
)


ADDED_COLUMNS: Mapping[int, tuple[sa.Column[Any], ...]] = {
    2: (ANALYSES.c.override_gate, ANALYSES.c.gate, ANALYSES.c.stability),
    3: (
        ANALYSES.c.burned_in_text,
        ANALYSES.c.hu_of_black,
        ANALYSES.c.hu_of_white,
        ANALYSES.c.stored_bytes,
        ANALYSES.c.folded,
        API_TOKENS.c.scopes,
        API_TOKENS.c.expires,
    ),
}
"""The columns that each version added to tables that were there before."""


def sqlite_url(data_dir: Path) -> str:
    """Return the URL of the database that lies in a data folder."""
    return f"sqlite:///{data_dir / FILE_NAME}"


class Database:
    """Connections to the database, with its tables made where missing and brought up to date.

    Args:
        url: ``sqlite:///<absolute path>`` or ``postgresql://…``.

    Raises:
        StorageError: It cannot be opened, or a newer version of Veriscan wrote it. What an older
            one wrote is brought up to date.
    """

    def __init__(self, url: str) -> None:
        try:
            # What goes into the database, file names for instance, must not get into a log.
            self._engine = sa.create_engine(url, hide_parameters=True)
        except (SQLAlchemyError, ImportError) as error:
            # The message of the error may repeat the URL with its password.
            raise StorageError(
                "VERISCAN_DATABASE_URL cannot be used, or the driver for it is not installed."
            ) from error
        if self._engine.dialect.name == "sqlite":
            self._open_sqlite(Path(str(self._engine.url.database)))
        else:
            sa.event.listen(
                self._engine, "before_cursor_execute", without_null_characters, retval=True
            )
            self._make_schema()

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that changes nothing.

        Raises:
            StorageError: The database failed.
        """
        with _storage_errors(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction; all of it is kept at the end, or none of it.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with _storage_errors(), self._engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with _begun(connection):
                yield connection

    def try_writing(self) -> None:
        """Write something that changes nothing.

        Raises:
            StorageError: The database cannot be written at present.
        """
        with self.writing() as connection:
            version = SCHEMA_VERSIONS.c.version
            connection.execute(SCHEMA_VERSIONS.update().values(version=version))

    @contextmanager
    def snapshot(self) -> Iterator[Callable[[Path], None]]:
        """Give what writes the database, as it is at this moment, into a new SQLite file.

        The moment is that of entering; others go on writing meanwhile. The connection gives its
        read transaction to SQLite's backup, which so copies one state of the whole file.

        Raises:
            StorageError: The database cannot be read, or the copy not be written.
        """
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT version FROM schema_version").all()  # begins to read
            yield lambda path: _copied(connection, path)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _open_sqlite(self, path: Path) -> None:
        sa.event.listen(self._engine, "connect", _set_up_sqlite)
        sa.event.listen(self._engine, "handle_error", _forget_read_only)
        sa.event.listen(self._engine, "begin", _begin_sqlite)
        # The first connection turns write-ahead logging on, for which SQLite does not wait for
        # other first connections, however patient it is otherwise.
        with ProcessLock(path.with_name(path.name + ".lock")):
            _make_private(path)
            self._make_schema()

    def _make_schema(self) -> None:
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                # One process at a time, as SQLite's write lock sees to by itself.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRESQL_SCHEMA_LOCK)))
            METADATA.create_all(connection)
            version = connection.scalar(sa.select(SCHEMA_VERSIONS.c.version))
            if version is None:
                connection.execute(SCHEMA_VERSIONS.insert().values(version=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise StorageError(
                    f"The database is of version {version}, this Veriscan works with version "
                    f"{SCHEMA_VERSION}. Start the Veriscan that wrote it."
                )
            elif version < SCHEMA_VERSION:
                _upgrade(connection, version)


def _upgrade(connection: sa.Connection, version: int) -> None:
    """Bring the tables of an older version up to date."""
    for newer in range(version + 1, SCHEMA_VERSION + 1):
        for column in ADDED_COLUMNS[newer]:
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}")
    for index in ANALYSES.indexes:  # create_all adds none to a table that is there
        index.create(connection, checkfirst=True)
    connection.execute(SCHEMA_VERSIONS.update().values(version=SCHEMA_VERSION))


def _copied(connection: sa.Connection, path: Path) -> None:
    _make_private(path)
    source: Any = connection.connection.driver_connection
    try:
        with closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise StorageError("The database cannot be copied. Check the free space.") from error


def _begun(connection: sa.Connection) -> sa.RootTransaction:
    """Begin a transaction; where the connection turns out to be of no use, with a new one."""
    try:
        return connection.begin()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return connection.begin()


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(
            "The database cannot be read or written at present. Try again; if it stays so, tell "
            "the administrator."
        ) from error


def _make_private(path: Path) -> None:
    """Make the database file before SQLite does, so that only its owner can read it.

    One that exists is not touched: to open and close it here would take away the locks that
    SQLite may hold on it in this process.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(
            f"The database file cannot be made ({error.strerror}). Check the permissions of the "
            "data folder."
        ) from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    """Set up a new connection: durable, patient with others, transactions begun by us."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was confirmed outlives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _forget_read_only(context: sa.engine.ExceptionContext) -> None:
    """Let go of connections that cannot write: opened while the folder could not be written.

    SQLite opens the file for reading alone then, and would stay with that once it can be written.
    """
    code = getattr(context.original_exception, "sqlite_errorcode", 0)
    if code & SQLITE_PRIMARY_CODE == sqlite3.SQLITE_READONLY:
        context.is_disconnect = True


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin a transaction; one that will write takes the write lock first.

    Otherwise two of them could both read and then deadlock on the way to writing, which SQLite
    answers with an error at once, however patient the connection is.
    """
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
