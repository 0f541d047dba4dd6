"""A full disk, a folder that cannot be written, a clock that jumps back, damage: clear errors."""

import errno
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from app.errors import StorageError
from app.services.audit import AuditService
from app.storage.analyses import AnalysisStore
from app.storage.audit import AuditStore
from app.storage.database import FILE_NAME, Database, sqlite_url
from app.storage.images import ImageStore, Picture
from app.storage.tinydb_users import TinyDBUserStore
from tests.app.storage.conftest import AnalysisFactory, UserFactory

ROOT = Path(__file__).parents[3]
KEY = "a secret key of more than thirty-two characters"
RUN = """
import sys
from pathlib import Path
from app.config import Settings
from app.errors import StorageError
from app.factory import create_app
try:
    app = create_app(Settings(data_dir=Path(sys.argv[1])))
    app.extensions["veriscan"].accounts.has_admin()
except StorageError as error:
    sys.exit(f"said: {error}")
"""


class AYearAgo(datetime):
    """A clock that somebody has set back."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Return the time of a year ago."""
        return super().now(tz) - timedelta(days=365)


@contextmanager
def no_room(limit_bytes: int) -> Iterator[None]:
    """Let no file grow past a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_accounts_outlive_a_full_disk(tmp_path: Path, make_user: UserFactory) -> None:
    with closing(TinyDBUserStore(tmp_path)) as users:
        alice, bob = make_user("alice"), make_user("bob")
        users.add(alice)
        users.add(bob)
        size = (tmp_path / "users.json.journal").stat().st_size
        # Not one byte fits, or only the beginning of a line.
        for room in (0, 100):
            with no_room(size + room), pytest.raises(StorageError, match="free space"):
                users.add(make_user("charlie"))
            assert users.list() == [alice, bob]
            assert (tmp_path / "users.json.journal").stat().st_size == size
        users.add(make_user("charlie"))
    with closing(TinyDBUserStore(tmp_path)) as again:
        assert [user.username for user in again.list()] == ["alice", "bob", "charlie"]


def test_analyses_and_the_audit_trail_outlive_a_full_disk(
    tmp_path: Path, make_analysis: AnalysisFactory
) -> None:
    with closing(Database(sqlite_url(tmp_path))) as database:
        store, audit = AnalysisStore(database), AuditService(AuditStore(database), tmp_path, KEY)
        kept = make_analysis()
        store.add(kept)
        audit.record("test.done", actor=None)
        room = (tmp_path / f"{FILE_NAME}-wal").stat().st_size
        with no_room(room):
            with pytest.raises(StorageError):
                store.add(make_analysis())
            with pytest.raises(StorageError):
                audit.record("test.done", actor=None, number=2)
        store.add(make_analysis())
        audit.record("test.done", actor=None, number=3)

        assert store.get(kept.id) == kept
        assert audit.verify().problems == ()


def test_a_picture_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    images, analysis_id = ImageStore(tmp_path), uuid4()

    with no_room(1000), pytest.raises(StorageError):
        images.put(analysis_id, Picture.SCAN, os.urandom(5000))

    assert [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".tmp")] == []


def test_a_data_folder_that_cannot_be_written_is_named(
    tmp_path: Path, make_user: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(TinyDBUserStore(tmp_path)) as users:
        users.add(make_user("alice"))
        really_open = os.open

        def refuse(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):  # root may write anywhere, so it is pretended
                raise OSError(errno.EROFS, "Read-only file system")
            return really_open(path, flags, mode, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(StorageError, match=r"Read-only file system.*permissions"):
                users.add(make_user("bob"))
        assert [user.username for user in users.list()] == ["alice"]


def test_a_database_that_could_not_be_written_for_a_while_is_written_again(
    tmp_path: Path, make_analysis: AnalysisFactory
) -> None:
    with closing(Database(sqlite_url(tmp_path))) as database:
        store = AnalysisStore(database)
        with database.reading() as connection:  # as one that was opened in that while
            connection.exec_driver_sql("PRAGMA query_only = 1")

        store.add(kept := make_analysis())

        assert store.get(kept.id) == kept


def test_the_audit_trail_holds_when_the_clock_jumps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(sqlite_url(tmp_path))) as database:
        audit = AuditService(AuditStore(database), tmp_path, KEY)
        audit.record("test.done", actor=None, number=1)
        monkeypatch.setattr("app.services.audit.datetime", AYearAgo)
        audit.record("test.done", actor=None, number=2)

        assert audit.verify().problems == ()
        assert audit.count() == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("users.json", b'{"users": {', "accounts file users.json .* damaged"),
        ("users.json", b"", "accounts file users.json .* damaged"),
        (FILE_NAME, b"not a database at all" * 100, "database cannot be read"),
    ],
)
def test_damage_found_at_the_start_is_one_clear_sentence_and_stays_as_it_is(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)

    process = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.stderr.count("\n") == 1, process.stderr
    assert process.returncode == 1
    assert re.search(message, process.stderr)
    assert (tmp_path / name).read_bytes() == content
