"""Finding users: words, roles, states, orders and pages. And what they may store."""

from dataclasses import replace

import pytest

from app.errors import QuotaExceededError, SiteSettingError
from app.records import EventFilter, Role, User
from app.services.administration.user_directory import PER_PAGE, UserOrder, UserQuery, UserState
from app.services.container import Services
from app.services.site_settings import RegistrationMode
from tests.app.services.conftest import OWNER
from tests.factories import make_grey, png_bytes
from tests.people import person


@pytest.fixture
def crowd(services: Services) -> list[User]:
    """Sixty users besides the owner."""
    users = [
        replace(
            person(Role.REVIEWER if number % 10 == 0 else Role.CLINICIAN),
            username=f"person.{number:02d}",
            email=f"mail{59 - number:02d}@clinic.org",
            is_active=number % 5 != 0,
            awaits_approval=number == 5,
        )
        for number in range(60)
    ]
    for user in users:
        services.accounts._users.add(user)
    return users


def names(services: Services, **wanted: object) -> list[str]:
    page = services.administration.directory.find(UserQuery(**wanted))  # type: ignore[arg-type]  # by name
    return [user.username for user in page.users]


def test_pages_hold_all_users_once(services: Services, crowd: list[User]) -> None:
    pages = [services.administration.directory.find(UserQuery(page=n)) for n in (1, 2, 9)]

    assert [len(page.users) for page in pages] == [PER_PAGE, 11, 11]
    assert (pages[0].total, pages[0].everybody, pages[0].pages) == (61, 61, 2)
    assert pages[2].page == 2
    found = {user.id for page in pages[:2] for user in page.users}
    assert found == {user.id for user in (*crowd, OWNER)}


@pytest.mark.usefixtures("crowd")
def test_users_are_found_by_words_role_and_state(services: Services) -> None:
    assert names(services, words=("PERSON.07",)) == ["person.07"]
    assert names(services, words=("person", "mail00@")) == ["person.59"]
    assert names(services, role=Role.REVIEWER)[:2] == ["person.00", "person.10"]
    assert names(services, state=UserState.WAITING) == ["person.05"]
    assert "person.05" not in names(services, state=UserState.DEACTIVATED)
    assert names(services, words=("nobody",)) == []


@pytest.mark.usefixtures("crowd")
def test_users_are_sorted(services: Services) -> None:
    wanted = {"words": ("clinic.org",)}
    assert names(services, order=UserOrder.NAME, **wanted)[0] == "person.00"
    assert names(services, order=UserOrder.EMAIL, **wanted)[0] == "person.59"
    assert names(services, order=UserOrder.NEWEST, **wanted)[0] == "person.59"
    assert names(services, order=UserOrder.OLDEST, **wanted)[0] == "person.00"


def test_a_user_is_known_by_name_or_address(services: Services, alice: User) -> None:
    directory = services.administration.directory

    assert directory.named("ALICE") == directory.named("alice@Hospital.org") == alice
    assert directory.named("ali") is None
    assert directory.names({alice.id, OWNER.id}) == {
        alice.id: "alice",
        OWNER.id: OWNER.username,
    }


# --- room for scans -------------------------------------------------------------------------


def test_what_a_user_stores_is_added_up(services: Services) -> None:
    quotas = services.administration.quotas
    services.analyses.submit(OWNER, "lung_ct", png_bytes())

    quota = quotas.of(OWNER.id)

    kept = sum(
        path.stat().st_size
        for path in (services.settings.data_dir / "images").rglob("*.png")
        if "heatmap" not in path.name
    )
    assert (quota.analyses, quota.used_bytes) == (1, kept)
    assert (quota.limit_mib, quota.is_own, quota.is_exceeded) == (0, False, False)


def test_a_scan_beyond_the_limit_is_refused_and_nothing_of_it_stays(services: Services) -> None:
    quotas = services.administration.quotas
    services.site_settings.change({"quota_mib": 1}, actor=None)
    large = png_bytes(make_grey(1600, 1400))

    with pytest.raises(QuotaExceededError, match="1 MB together"):
        services.analyses.submit(OWNER, "lung_ct", large)
    assert quotas.of(OWNER.id).analyses == 0
    assert not list((services.settings.data_dir / "images").rglob("*.png"))

    quotas.set(OWNER.id, 100, actor=None)
    services.analyses.submit(OWNER, "lung_ct", large)
    quotas.set(OWNER.id, None, actor=None)
    assert not quotas.of(OWNER.id).is_own


@pytest.mark.parametrize("mib", [-1, 10**9])
def test_a_limit_out_of_range_is_refused(services: Services, mib: int) -> None:
    with pytest.raises(SiteSettingError, match="whole number from 0"):
        services.administration.quotas.set(OWNER.id, mib, actor=None)


# --- settings of the site -------------------------------------------------------------------


def test_settings_hold_at_once_and_say_who_changed_them(services: Services) -> None:
    services.site_settings.change(
        {"registration": "invitation", "retention_days": 30}, actor=OWNER.id
    )

    site = services.site_settings.get()
    assert (site.registration, site.retention_days) == (RegistrationMode.INVITATION, 30)
    events = services.audit.page(EventFilter(action="settings.changed"), limit=9)
    assert {event.subject for event in events} == {"registration", "retention_days"}
    assert {event.actor_id for event in events} == {OWNER.id}


def test_what_stays_as_it_was_is_not_recorded(services: Services) -> None:
    services.site_settings.change({"retention_days": 0}, actor=None)

    assert services.audit.page(EventFilter(action="settings."), limit=9) == []


@pytest.mark.parametrize(
    "values",
    [
        {"registration": "everybody"},
        {"retention_days": -1},
        {"retention_days": True},
        {"quota_mib": "many"},
        {"colour": "green"},
    ],
)
def test_settings_that_cannot_be_are_refused(services: Services, values: dict[str, object]) -> None:
    before = services.site_settings.get()

    with pytest.raises(SiteSettingError):
        services.site_settings.change(values, actor=None)
    assert services.site_settings.get() == before
