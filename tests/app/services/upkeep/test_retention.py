import io
from collections.abc import Iterator
from threading import Event

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.errors import NotFoundError, StorageError
from app.records import EventFilter, User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from app.services.upkeep.retention import RetentionSchedule
from app.services.uploads.uploads import IncomingFile
from app.storage.images import Picture
from tests.factories import png_bytes
from tests.movable_clock import MovableClock
from tests.people import PASSWORD, application_of


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def services(
    settings: Settings,
    engine: InProcessEngine,
    passwords: PasswordService,
    decoding_pool: DecodingPool,
    clock: MovableClock,
) -> Iterator[Services]:
    services = build_services(settings, engine, passwords, clock, decoding_pool)
    services.start()
    yield services
    services.stop()


@pytest.fixture
def alice(services: Services) -> User:
    return services.identity.registration.register(application_of("alice"))


def keep_for(services: Services, days: int) -> None:
    services.site_settings.change({"retention_days": days}, actor=None)


def upload(services: Services, user: User) -> None:
    uploads = services.intake.uploads
    incoming = IncomingFile(name="mueller_anna.png", stream=io.BytesIO(png_bytes()))
    file = uploads.add_alone(user, "lung_ct", incoming)
    assert file.analysis_id
    services.analyses.wait(file.analysis_id, 30)


def test_scans_go_with_their_pictures_and_file_names_when_their_time_is_over(
    services: Services, alice: User, clock: MovableClock
) -> None:
    upload(services, alice)
    keep_for(services, 30)
    (kept,) = services.analyses.history(alice).analyses

    clock.move(days=29)
    assert services.retention.purge().counts["analyses"] == 0
    clock.move(days=2)
    due = services.retention.due()
    purged = services.retention.purge()

    assert due.counts == purged.counts
    assert (purged.counts["analyses"], purged.counts["uploads"]) == (1, 1)
    assert services.analyses.history(alice).total == 0
    assert services.intake.uploads.latest(alice, 9) == []
    with pytest.raises(NotFoundError):
        services.images.get(kept.id, Picture.SCAN)
    assert services.retention.due().total == 0


def test_a_dry_run_removes_nothing(services: Services, alice: User, clock: MovableClock) -> None:
    upload(services, alice)
    keep_for(services, 1)
    clock.move(days=2)

    assert services.retention.due().counts["analyses"] == 1

    assert services.analyses.history(alice).total == 1


def test_a_site_that_keeps_scans_forgets_only_the_traces_of_sign_ins(
    services: Services, alice: User, clock: MovableClock
) -> None:
    upload(services, alice)
    services.identity.sessions.begin(alice.id, "Firefox")
    services.identity.sign_in.check_password("alice", PASSWORD)
    services.identity.resets.make_link(alice.id, actor=alice.id)

    clock.move(days=4000)
    purged = services.retention.purge()

    assert purged.days == 0
    assert purged.counts["sessions"] == 1
    assert purged.counts["one-time links"] == 1
    assert purged.counts["analyses"] == 0
    assert services.analyses.history(alice).total == 1


def test_what_was_removed_is_in_the_audit_trail_without_any_name(
    services: Services, alice: User, clock: MovableClock
) -> None:
    upload(services, alice)
    keep_for(services, 1)
    clock.move(days=2)
    services.retention.purge()

    events = {e.action: e for e in services.audit.page(EventFilter(), limit=50)}

    assert '"analyses":1' in events["retention.purged"].details.replace(" ", "")
    assert events["analysis.expired"].actor_id is None
    assert not any("mueller" in event.details for event in events.values())


def test_a_purge_that_is_stopped_goes_on_the_next_time(
    services: Services, alice: User, clock: MovableClock
) -> None:
    for _ in range(3):
        upload(services, alice)
    keep_for(services, 1)
    clock.move(days=2)
    answers = iter([False, False, True, True])

    assert services.retention.purge(lambda: next(answers)).counts["analyses"] == 1
    assert services.retention.purge().counts["analyses"] == 2


class Purges:
    """Counts purges in place of the service; the first of them fails."""

    def __init__(self) -> None:
        self.count = 0
        self.was_called_twice = Event()

    def purge(self, should_stop: object) -> None:
        self.count += 1
        if self.count == 1:
            raise StorageError("The disk is full.")
        self.was_called_twice.set()
        raise RuntimeError("a bug")


def test_the_schedule_goes_on_after_an_error_and_ends_when_it_is_stopped() -> None:
    purges = Purges()
    schedule = RetentionSchedule(purges, first_after_s=0.0, every_s=0.01)  # type: ignore[arg-type]

    schedule.start()
    schedule.start()
    assert purges.was_called_twice.wait(10)
    schedule.stop()
    count = purges.count
    schedule.start()

    assert purges.count == count


def test_a_server_that_runs_has_the_schedule(services: Services) -> None:
    assert services.retention_schedule._thread is not None
    assert services.retention_schedule._thread.is_alive()
