"""The keys that sign certificates: the private one in a file, every public one in SQL for ever."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from app.errors import StorageError
from app.storage.database import METADATA, Database, UtcDateTime
from app.storage.files import ProcessLock, write_atomically

FILE_NAME = "signing_key.pem"

SIGNING_KEYS = sa.Table(
    "signing_keys",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("public_key", sa.String(64), nullable=False),
    sa.Column("first_used", UtcDateTime, nullable=False),
    sa.Column("withdrawn", UtcDateTime),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that certificates were signed with, now or formerly.

    Attributes:
        id: The first 16 hex digits of the SHA-256 of the key.
        public_key: The 32 bytes of the Ed25519 key, hex.
        first_used: When this installation first used it.
        withdrawn: Since when nothing that it signed is trusted; None for a key without fault.
    """

    id: str
    public_key: str
    first_used: datetime
    withdrawn: datetime | None = None


class PrivateKeyFile:
    """The private key, as PEM, in a file of mode 600.

    Args:
        data_dir: Where it lies and is made.
        given: A file that holds it instead; that one is read and never written.
    """

    def __init__(self, data_dir: Path, given: Path | None = None) -> None:
        self._path = given or data_dir / FILE_NAME
        self._lock = ProcessLock(data_dir / f"{FILE_NAME}.lock")
        self.is_given = given is not None

    def read_or_make(self, make: Callable[[], bytes]) -> bytes:
        """Return the PEM; the first of several processes writes what ``make`` returns.

        Raises:
            StorageError: It cannot be read or written.
        """
        with _reported():
            if self.is_given or self._path.exists():
                return self._path.read_bytes()
            with self._lock:
                if not self._path.exists():
                    write_atomically(self._path, make())
                return self._path.read_bytes()

    def replace(self, pem: bytes) -> None:
        """Write another key in place of the present one.

        Raises:
            StorageError: It cannot be written.
        """
        with _reported(), self._lock:
            write_atomically(self._path, pem)


class PublicKeyStore:
    """Keeps every public key that this installation ever signed with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: PublicKey) -> None:
        """Keep a key; one that is there already stays as it is."""
        known = sa.select(SIGNING_KEYS.c.id).where(SIGNING_KEYS.c.id == key.id)
        row = {"id": key.id, "public_key": key.public_key, "first_used": key.first_used}
        with self._database.writing() as connection:
            if connection.execute(known).first() is None:
                connection.execute(SIGNING_KEYS.insert().values(row))

    def find(self, key_id: str) -> PublicKey | None:
        """Return a key, or None where this installation never used it."""
        found = self._select(sa.select(SIGNING_KEYS).where(SIGNING_KEYS.c.id == key_id))
        return found[0] if found else None

    def all(self) -> list[PublicKey]:
        """Return all keys, oldest first."""
        return self._select(
            sa.select(SIGNING_KEYS).order_by(SIGNING_KEYS.c.first_used, SIGNING_KEYS.c.id)
        )

    def withdraw(self, key_id: str) -> None:
        """Note that what a key signed is not to be trusted any more."""
        statement = SIGNING_KEYS.update().where(
            SIGNING_KEYS.c.id == key_id, SIGNING_KEYS.c.withdrawn.is_(None)
        )
        with self._database.writing() as connection:
            connection.execute(statement.values(withdrawn=datetime.now(UTC)))

    def _select(self, statement: sa.Select[tuple[object, ...]]) -> list[PublicKey]:
        with self._database.reading() as connection:
            return [PublicKey(**row) for row in connection.execute(statement).mappings()]


@contextmanager
def _reported() -> Iterator[None]:
    """Turn an error of the file system into one of ours, which names no path."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The key that signs certificates cannot be read or written ({error.strerror}). "
            "Check the permissions of the data folder, or VERISCAN_SIGNING_KEY_FILE."
        ) from error
