import io
import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import BackupError, VeriscanError
from app.records import User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from app.storage.backup_file import MANIFEST, restore_backup
from app.storage.images import Picture
from tests.factories import png_bytes
from tests.people import PASSWORD, application_of

Reopen = Callable[[Path], Services]


@pytest.fixture
def reopen(
    settings: Settings,
    engine: InProcessEngine,
    passwords: PasswordService,
    decoding_pool: DecodingPool,
) -> Reopen:
    """Return what builds the services on another data folder, without starting them."""

    def reopen(data_dir: Path) -> Services:
        return build_services(
            replace(settings, data_dir=data_dir), engine, passwords, pool=decoding_pool
        )

    return reopen


def analyse(services: Services, user: User) -> None:
    analysis = services.analyses.submit(user, "lung_ct", png_bytes())
    services.analyses.wait(analysis.id, 30)


def pictures(services: Services, user: User) -> list[bytes]:
    found = services.analyses.history(user, per_page=100).analyses
    return [services.analyses.scan_png(user, analysis.id) for analysis in found]


def test_all_comes_back_from_a_backup(
    services: Services, alice: User, tmp_path: Path, reopen: Reopen
) -> None:
    analyse(services, alice)
    analyse(services, alice)
    (tmp_path / "restored").mkdir()

    assert services.backup.make(tmp_path / "backup.tar") == 2
    restore_backup(tmp_path / "backup.tar", tmp_path / "restored")

    again = reopen(tmp_path / "restored")
    assert again.identity.sign_in.check_password("alice", PASSWORD) == alice
    assert again.analyses.history(alice) == services.analyses.history(alice)
    assert pictures(again, alice) == pictures(services, alice)
    assert again.audit.verify().is_whole
    assert again.secret_key == services.secret_key
    for path in (tmp_path / "restored").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    again.stop()


def test_a_backup_made_while_others_write_is_of_one_moment(
    services: Services, alice: User, tmp_path: Path, reopen: Reopen
) -> None:
    is_over = Event()

    def work(number: int) -> None:
        user = services.identity.registration.register(application_of(f"user{number}"))
        while not is_over.is_set():
            with suppress(VeriscanError):  # the queue may be full
                analysis = services.analyses.submit(user, "lung_ct", png_bytes())
                if number % 2:
                    services.analyses.delete(user, analysis.id)

    workers = [Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    try:
        for number in range(3):
            services.backup.make(tmp_path / f"{number}.tar")
    finally:
        is_over.set()
        for worker in workers:
            worker.join()

    for number in range(3):
        restore_backup(tmp_path / f"{number}.tar", tmp_path / f"restored{number}")
        again = reopen(tmp_path / f"restored{number}")
        verification = again.audit.verify()
        assert verification.problems == ()
        again.analyses.removal.finish()  # as a start does: what had no picture yet goes
        users = again.accounts.list_users()
        kept = [a for user in users for a in again.analyses.history(user, per_page=1000).analyses]
        scans = list((tmp_path / f"restored{number}").rglob("*.scan.png"))
        assert all(again.images.get(analysis.id, Picture.SCAN) for analysis in kept)
        in_database = sum(again.administration.statistics.by_status().values())
        assert len(scans) == len(kept) == in_database
        again.stop()


def test_a_folder_that_is_not_empty_is_left_alone(
    services: Services, alice: User, tmp_path: Path
) -> None:
    services.backup.make(tmp_path / "backup.tar")
    full = tmp_path / "full"
    full.mkdir()
    (full / "users.json").write_text("precious")

    with pytest.raises(BackupError, match="not empty"):
        restore_backup(tmp_path / "backup.tar", full)

    assert (full / "users.json").read_text() == "precious"
    assert not (tmp_path / "full.partial").exists()


def test_no_file_is_replaced_by_a_backup(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_text("precious")

    with pytest.raises(BackupError, match="already"):
        services.backup.make(path)

    assert path.read_text() == "precious"
    assert sorted(tmp_path.glob("backup*")) == [path]


def test_a_backup_into_the_data_folder_or_nowhere_is_refused(
    services: Services, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="lost with it"):
        services.backup.make(services.settings.data_dir / "backup.tar")
    with pytest.raises(BackupError, match="No such file"):
        services.backup.make(tmp_path / "nowhere" / "backup.tar")


def test_only_its_owner_can_read_a_backup(services: Services, tmp_path: Path) -> None:
    services.backup.make(tmp_path / "backup.tar")

    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600


def test_keys_that_a_setting_names_are_not_in_the_backup(
    settings: Settings,
    engine: InProcessEngine,
    passwords: PasswordService,
    decoding_pool: DecodingPool,
    tmp_path: Path,
) -> None:
    services = build_services(
        replace(settings, secret_key="k" * 32), engine, passwords, pool=decoding_pool
    )

    services.backup.make(tmp_path / "backup.tar")

    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert "secret_key" not in archive.getnames()
    services.stop()


# --- hostile and damaged backups ------------------------------------------------------------


def rewritten(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """Write a backup again, with what ``change`` makes of each member; None leaves it out."""
    target = path.with_name("changed.tar")
    with tarfile.open(path) as old, tarfile.open(target, "w") as new:
        for member in old:
            file = old.extractfile(member)
            assert file
            changed = change(member.name, file.read())
            if changed is not None:
                info = tarfile.TarInfo(changed[0])
                info.size = len(changed[1])
                new.addfile(info, io.BytesIO(changed[1]))
    return target


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda n, d: (n, d + b"x") if n == "users.json" else (n, d), id="changed"),
        pytest.param(lambda n, d: None if n == "users.json" else (n, d), id="a-file-is-missing"),
        pytest.param(lambda n, d: None if n == MANIFEST else (n, d), id="no-list"),
        pytest.param(lambda n, d: (n, b"[]") if n == MANIFEST else (n, d), id="a-strange-list"),
        pytest.param(
            lambda n, d: (n, b'{"format": Infinity}') if n == MANIFEST else (n, d), id="no-number"
        ),
        pytest.param(lambda n, d: (n, b"[" * 10**5) if n == MANIFEST else (n, d), id="too-deep"),
        pytest.param(
            lambda n, d: ("../users.json", d) if n == "users.json" else (n, d), id="a-way-out"
        ),
        pytest.param(
            lambda n, d: ("/tmp/users.json", d) if n == "users.json" else (n, d), id="absolute"
        ),
        pytest.param(
            lambda n, d: ("bin/sh", d) if n == "users.json" else (n, d), id="a-name-not-ours"
        ),
    ],
)
def test_a_backup_that_is_not_as_it_was_made_is_refused_and_leaves_nothing(
    services: Services,
    alice: User,
    tmp_path: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
) -> None:
    services.backup.make(tmp_path / "backup.tar")

    with pytest.raises(BackupError, match="damaged"):
        restore_backup(rewritten(tmp_path / "backup.tar", change), tmp_path / "restored")

    assert not (tmp_path / "restored").exists()
    assert not (tmp_path / "restored.partial").exists()


def test_a_file_of_a_backup_does_not_unpack_to_more_than_there_is(tmp_path: Path) -> None:
    hole = tarfile.TarInfo("users.json")
    hole.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "users.json",
        "GNU.sparse.size": str(2**50),
        "GNU.sparse.map": f"{2**50},0",
    }
    path = tmp_path / "backup.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(hole)

    with pytest.raises(BackupError, match="damaged"):
        restore_backup(path, tmp_path / "restored")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_backup_that_was_cut_off_is_refused(
    services: Services, alice: User, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "backup.tar"
    services.backup.make(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(BackupError, match="damaged"):
        restore_backup(path, tmp_path / "restored")


def test_a_backup_of_a_newer_version_says_so(
    services: Services, alice: User, tmp_path: Path
) -> None:
    def newer(name: str, data: bytes) -> tuple[str, bytes]:
        if name == MANIFEST:
            data = json.dumps(json.loads(data) | {"format": 2}).encode()
        return name, data

    services.backup.make(tmp_path / "backup.tar")

    with pytest.raises(BackupError, match="newer"):
        restore_backup(rewritten(tmp_path / "backup.tar", newer), tmp_path / "restored")
