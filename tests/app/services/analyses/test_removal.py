"""What a crash left half-way is finished at the next start; what was accepted is not touched."""

import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import NotFoundError
from app.records import Analysis, AnalysisStatus, User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from app.storage.files import temporary_path
from tests.factories import make_grey, png_bytes
from tests.people import application_of


@pytest.fixture
def services(
    tmp_path: Path, tiny_weights_dir: Path, engine: InProcessEngine, decoding_pool: DecodingPool
) -> Services:
    """Services that have not been started, as after a crash."""
    settings = Settings(data_dir=tmp_path, weights_dir=tiny_weights_dir)
    return build_services(settings, engine, PasswordService("scrypt:128:8:1"), pool=decoding_pool)


@pytest.fixture
def alice(services: Services) -> User:
    return services.identity.registration.register(application_of("alice"))


def judged(services: Services, user: User) -> Analysis:
    scan = png_bytes(make_grey(96, 96, seed=1))
    analysis = services.analyses.submit(user, "lung_ct", scan, override_gate=True)
    return services.analyses.wait(analysis.id, 30)


def files_of(services: Services, analysis_id: UUID) -> list[Path]:
    return list(services.settings.data_dir.glob(f"images/*/{analysis_id.hex}.*"))


def test_a_removal_that_was_cut_short_is_finished(services: Services, alice: User) -> None:
    analysis = judged(services, alice)
    services.analyses._store.removals.announce([analysis.id])
    services.analyses._store.removals.announce([analysis.id])

    services.analyses.resume()

    with pytest.raises(NotFoundError):
        services.analyses.get(alice, analysis.id)
    assert files_of(services, analysis.id) == []
    assert services.analyses._store.removals.pending() == []
    services.stop()


def test_what_is_left_of_a_removed_analysis_goes_too(services: Services, alice: User) -> None:
    analysis = judged(services, alice)
    (scan,) = (path for path in files_of(services, analysis.id) if ".scan." in path.name)
    services.analyses.delete(alice, analysis.id)
    services.analyses._store.removals.announce([analysis.id])
    for path in (scan, temporary_path(scan)):
        path.write_bytes(b"written by a thread that was killed then")

    services.analyses.resume()

    assert files_of(services, analysis.id) == []
    services.stop()


def test_a_scan_of_which_nobody_was_told_that_it_was_taken_in_disappears(
    services: Services, alice: User
) -> None:
    """Killed before its picture was written, and before anything was recorded of it."""
    analysis = judged(services, alice)
    store = services.analyses._store
    fragment = _queued_copy(analysis)
    store.add(fragment)

    services.analyses.resume()

    with pytest.raises(NotFoundError):
        services.analyses.get(alice, fragment.id)
    assert services.analyses.get(alice, analysis.id).status is AnalysisStatus.DONE
    services.stop()


def test_an_accepted_scan_whose_picture_is_gone_is_reported_and_not_removed(
    services: Services, alice: User
) -> None:
    analysis = judged(services, alice)
    services.analyses._store.update(_queued_copy(analysis, keep_id=True))
    services.analyses._images.delete(analysis.id)

    services.analyses.resume()
    deadline_s = time.monotonic() + 10
    while not services.analyses.get(alice, analysis.id).status.is_final:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

    assert services.analyses.get(alice, analysis.id).status is AnalysisStatus.FAILED
    services.stop()


def _queued_copy(analysis: Analysis, *, keep_id: bool = False) -> Analysis:
    identity = analysis.id if keep_id else uuid4()
    return replace(analysis, id=identity, status=AnalysisStatus.QUEUED, finding=None, finished=None)
