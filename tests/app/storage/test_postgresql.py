"""What only PostgreSQL does: several machines share it, and accounts move into it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import SignInFailedError, StorageError
from app.records import AnalysisStatus, Role
from app.services.accounts.passwords import PasswordService
from app.services.audit import AuditService
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from app.storage.audit import AUDIT_EVENTS, AuditStore
from app.storage.database import Database
from app.storage.tinydb_users import TinyDBUserStore
from tests import postgresql
from tests.app.storage.conftest import POSTGRESQL, UserFactory, opened
from tests.factories import make_grey, png_bytes
from tests.people import PASSWORD, application_of

CHEAP_HASH = "scrypt:128:8:1"
KEY = "a secret key of more than thirty-two characters"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The emptied PostgreSQL."""
    with opened(POSTGRESQL, tmp_path) as database:
        yield database


def services_on(
    folder: Path, weights_dir: Path, engine: InProcessEngine, pool: DecodingPool | None = None
) -> Services:
    settings = Settings(
        data_dir=folder, weights_dir=weights_dir, database_url=postgresql.url(), secret_key=KEY
    )
    return build_services(settings, engine, PasswordService(CHEAP_HASH), pool=pool)


def test_the_main_paths_work_on_it(
    database: Database,
    tmp_path: Path,
    tiny_weights_dir: Path,
    engine: InProcessEngine,
    decoding_pool: DecodingPool,
) -> None:
    services = services_on(tmp_path, tiny_weights_dir, engine, decoding_pool)
    alice = services.identity.registration.register(application_of("alice"))
    signed_in = services.identity.sign_in.sign_in("ALICE", PASSWORD)
    assert services.identity.sessions.find(signed_in.secret) is not None
    with pytest.raises(SignInFailedError):
        services.identity.sign_in.sign_in("al\0ice", PASSWORD)

    scan = png_bytes(make_grey(96, 96, seed=1))
    analysis = services.analyses.submit(alice, "lung_ct", scan, override_gate=True)
    analysis = services.analyses.wait(analysis.id, 30)
    assert analysis.status is AnalysisStatus.DONE
    services.notes.save(alice, analysis.id, text="seen \0 by me", tags="ward 3")
    services.analyses.delete(alice, analysis.id)
    services.accounts.delete(alice.id)

    assert services.accounts.find(alice.id) is None
    assert not (tmp_path / "users.json").exists()
    assert services.audit.verify().problems == ()
    services.stop()


def test_accounts_move_into_it_once(
    database: Database,
    tmp_path: Path,
    tiny_weights_dir: Path,
    engine: InProcessEngine,
    make_user: UserFactory,
) -> None:
    alice, bob = make_user("alice", role=Role.ADMIN), make_user("bob")
    with closing(TinyDBUserStore(tmp_path)) as before:
        before.add(alice)
        before.add(bob)

    first = services_on(tmp_path, tiny_weights_dir, engine)
    assert first.accounts.list_users() == [alice, bob]
    first.accounts.delete(bob.id)
    second = services_on(tmp_path, tiny_weights_dir, engine)  # as another machine, or later

    assert second.accounts.list_users() == [alice]
    for services in (first, second):
        for store in services.stores:
            store.close()


def test_writers_on_several_machines_do_not_fork_the_audit_trail(
    database: Database, tmp_path: Path
) -> None:
    machines = [Database(postgresql.url()) for _ in range(4)]
    trails = [AuditService(AuditStore(each), tmp_path, KEY) for each in machines]

    def write(number: int) -> None:
        trails[number % 4].record("test.done", actor=uuid4(), number=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))

    result = trails[0].verify()
    assert (result.problems, result.events) == ((), 80)
    for each in machines:
        each.close()


@pytest.mark.parametrize(
    "statement", [AUDIT_EVENTS.delete(), AUDIT_EVENTS.update().values(action="x")]
)
def test_it_refuses_to_change_an_event(
    database: Database, tmp_path: Path, statement: sa.Executable
) -> None:
    audit = AuditService(AuditStore(database), tmp_path, KEY)
    audit.record("test.done", actor=None)

    with pytest.raises(StorageError), database.writing() as connection:
        connection.execute(statement)

    assert audit.verify().is_whole


def test_a_server_that_is_away_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read or written at present"):
        Database(f"postgresql://nobody@/nowhere?host={tmp_path}")
