"""The administrators' pages: bulk acts, invitations, the audit trail, settings, calibration."""

import csv
import io
import json
from uuid import UUID

import pytest

from app.records import EventFilter, Role, User
from app.services.container import Services
from app.services.site_settings import RegistrationMode
from tests.app.web.conftest import Browser, make_user, turn_codes_on
from tests.factories import png_bytes
from tests.movable_clock import MovableClock

# --- many users -----------------------------------------------------------------------------


def test_many_users_are_changed_at_once(admin: Browser, services: Services, alice: User) -> None:
    bea = make_user(services, "bea")
    chosen = {"user": [str(alice.id), str(bea.id), "no id", str(UUID(int=1))]}

    page = admin.follow(admin.send("/admin/users/bulk", chosen | {"act": "deactivate"}))

    assert "2 accounts are changed." in page.text
    found = [services.accounts.find(user.id) for user in (alice, bea)]
    assert [user.is_active for user in found if user] == [False, False]
    events = services.audit.page(EventFilter(action="account.deactivated"), limit=9)
    assert {event.subject for event in events} == {str(alice.id), str(bea.id)}
    admin.send("/admin/users/bulk", chosen | {"act": "reviewer"})
    changed = services.accounts.find(bea.id)
    assert changed is not None
    assert changed.role is Role.REVIEWER


def test_nobody_is_changed_with_others_by_themselves(admin: Browser, services: Services) -> None:
    (ada,) = (user for user in services.accounts.list_users() if user.username == "ada")

    page = admin.follow(admin.send("/admin/users/bulk", {"user": str(ada.id), "act": "deactivate"}))

    assert "Your own account was left as it is." in page.text
    assert services.accounts.find(ada.id) == ada


@pytest.mark.parametrize("data", [{"act": "delete", "user": "x"}, {"act": "activate"}, {}])
def test_a_bulk_act_without_users_or_act_does_nothing(admin: Browser, data: dict[str, str]) -> None:
    page = admin.follow(admin.send("/admin/users/bulk", data))

    assert "Choose what to do" in page.text or "Tick the users first." in page.text


def test_users_are_searched(admin: Browser, alice: User) -> None:
    assert "alice@hospital.org" in admin.get("/admin/users?q=ALICE&role=clinician").text
    assert "Nobody fits" in admin.get(f"/admin/users?q={alice.id}").text
    assert "alice@hospital.org" in admin.get("/admin/users?page=99&order=newest&state=x").text


# --- one user -------------------------------------------------------------------------------


def test_the_page_of_a_user_shows_sessions_and_activity(
    admin: Browser, owner: Browser, alice: User
) -> None:
    owner.analyse()

    page = admin.get(f"/admin/users/{alice.id}")

    assert "Scan handed in" in page.text
    assert "Signed in" in page.text
    assert "1 analysis" in page.text


@pytest.mark.parametrize(
    ("value", "words"), [("many", "whole number of megabytes"), ("-3", "whole number from 0")]
)
def test_a_quota_that_is_none_is_refused(
    admin: Browser, alice: User, value: str, words: str
) -> None:
    response = admin.send(f"/admin/users/{alice.id}/quota", {"quota_mib": value})

    assert words in admin.follow(response).text


def test_a_quota_is_set_and_taken_back(admin: Browser, alice: User, services: Services) -> None:
    quotas = services.administration.quotas
    admin.send(f"/admin/users/{alice.id}/quota", {"quota_mib": "7"})
    assert (quotas.of(alice.id).limit_mib, quotas.of(alice.id).is_own) == (7, True)

    admin.send(f"/admin/users/{alice.id}/quota", {"quota_mib": ""})
    assert not quotas.of(alice.id).is_own


def test_a_link_for_a_new_password_is_shown_once(admin: Browser, alice: User) -> None:
    page = admin.submit(f"/admin/users/{alice.id}/password-link", {}, 200)

    assert "Hand this link to alice" in page.text
    assert "Hand this link to alice" not in admin.get(f"/admin/users/{alice.id}").text


def test_who_has_lost_telephone_and_recovery_codes_is_let_in_again(
    admin: Browser, alice: User, services: Services, clock: MovableClock
) -> None:
    assert "Turn codes at sign-in off" not in admin.get(f"/admin/users/{alice.id}").text
    turn_codes_on(services, alice, clock)
    assert "Turn codes at sign-in off" in admin.get(f"/admin/users/{alice.id}").text

    page = admin.follow(admin.send(f"/admin/users/{alice.id}/codes/turn-off"))

    assert "alice is asked for no codes at sign-in any more." in page.text
    assert not services.identity.second_factors.is_on(alice.id)
    (event,) = services.audit.page(EventFilter(action="account.second_factor_off"), limit=9)
    assert (event.subject, event.actor_id != alice.id) == (str(alice.id), True)


# --- invitations ----------------------------------------------------------------------------


def test_an_invitation_is_made_shown_once_and_withdrawn(admin: Browser, services: Services) -> None:
    page = admin.submit("/admin/invitations", {"email": "new@clinic.org", "role": "reviewer"}, 200)
    assert "/register?invitation=" in page.text

    page = admin.get("/admin/invitations")
    assert "/register?invitation=" not in page.text
    assert "new@clinic.org Reviewer Open" in page.text
    (made,) = services.identity.invitations.list_all()
    admin.send(f"/admin/invitations/{made.id}/withdraw")
    assert services.identity.invitations.list_all() == []


@pytest.mark.parametrize("data", [{"role": "owner"}, {"role": "clinician", "email": "nobody"}])
def test_an_invitation_that_cannot_be_is_refused(admin: Browser, data: dict[str, str]) -> None:
    assert "No invitation was made" in admin.submit("/admin/invitations", data, 422).text


# --- the audit trail ------------------------------------------------------------------------


def test_the_trail_names_users_until_they_are_deleted(
    admin: Browser, owner: Browser, alice: User, services: Services
) -> None:
    owner.analyse()
    assert "alice" in admin.get(f"/admin/audit?who={alice.id}").text
    assert "Scan handed in" in admin.get("/admin/audit?who=alice").text

    admin.follow(admin.send(f"/admin/users/{alice.id}/delete"))

    text = admin.get(f"/admin/audit?who={alice.id}").text
    assert f"deleted user {str(alice.id)[:8]}" in text
    assert "alice" not in text
    assert "alice" not in admin.client.get("/admin/audit/export").text
    assert services.audit.verify().is_whole


def test_the_trail_says_from_where(admin: Browser) -> None:
    assert "127.0.0.1" in admin.get("/admin/audit?action=account.signed_in").text


def test_the_trail_is_paged(admin: Browser, services: Services) -> None:
    for _ in range(60):
        services.audit.record("settings.changed", actor=None, subject="x")

    first = admin.get("/admin/audit?action=settings.")
    (older,) = (link for link in first.links if "before=" in link)

    assert first.text.count("Setting changed no. ") == 50
    assert admin.get(older).text.count("Setting changed no. ") == 10


@pytest.mark.parametrize(
    "query",
    [
        "since=never",
        "until=2026-99-99",
        "until=9999-12-31",
        "who=nobody",
        "before=x",
        f"before={2**63}",
        f"before=-{2**63 + 1}",
        "action=x",
        "subject=x",
    ],
)
def test_an_odd_query_is_answered(admin: Browser, query: str) -> None:
    admin.get(f"/admin/audit?{query}")


def test_the_trail_is_exported(admin: Browser, services: Services) -> None:
    rows = list(csv.DictReader(io.StringIO(admin.client.get("/admin/audit/export").text)))
    events = json.loads(admin.client.get("/admin/audit/export?format=json").text)

    assert [row["sequence"] for row in rows] == [str(n + 1) for n in range(len(rows))]
    assert rows[0]["hash"] == events[0]["hash"]
    assert isinstance(events[0]["details"], dict)
    assert services.audit.page(EventFilter(), limit=1)[0].action == "audit.exported"
    empty = admin.client.get("/admin/audit/export?format=json&who=nobody").text
    assert json.loads(empty) == []


def test_the_trail_is_checked(admin: Browser) -> None:
    page = admin.follow(admin.send("/admin/audit/verify"))

    assert "The trail is whole" in page.text


# --- settings, calibration, detectors -------------------------------------------------------


def test_settings_are_saved(admin: Browser, services: Services) -> None:
    data = {"registration": "approval", "retention_days": "30", "quota_mib": "0"}

    assert "The settings are saved" in admin.follow(admin.send("/admin/settings", data)).text
    assert services.site_settings.get().registration is RegistrationMode.APPROVAL
    assert "Scans are kept for 30 days" in admin.get("/admin/storage").text


@pytest.mark.parametrize("days", ["", "-1", "1.5", "many", "9" * 5, "9" * 5000, "\u0663"])
def test_settings_that_cannot_be_are_refused(admin: Browser, services: Services, days: str) -> None:
    before = services.site_settings.get()
    data = {"registration": "closed", "retention_days": days, "quota_mib": "0"}

    assert "Nothing was changed" in admin.submit("/admin/settings", data, 422).text
    assert services.site_settings.get() == before


def test_only_who_has_codes_lets_the_site_ask_administrators_for_them(
    admin: Browser, services: Services, clock: MovableClock
) -> None:
    data = {"registration": "open", "retention_days": "0", "quota_mib": "0"}
    data["admins_need_codes"] = "yes"
    advice = "Administrators may sign in with a password alone."
    assert advice in admin.get("/admin").text

    refused = admin.submit("/admin/settings", data, 422)
    assert "Set up codes for yourself first" in refused.text
    assert not services.site_settings.get().admins_need_codes

    (ada,) = (user for user in services.accounts.list_users() if user.username == "ada")
    turn_codes_on(services, ada, clock)
    assert "The settings are saved" in admin.follow(admin.send("/admin/settings", data)).text
    assert services.site_settings.get().admins_need_codes
    assert advice not in admin.get("/admin").text


def test_authentic_scans_are_taken_in_and_others_refused(admin: Browser) -> None:
    files = [(io.BytesIO(png_bytes()), "a.png"), (io.BytesIO(b"no scan"), "b.png")]

    page = admin.follow(
        admin.send("/admin/calibration/scans", {"modality": "lung_ct", "images": files})
    )

    assert "1 of 2 scans are being judged" in page.text
    assert "1 of the files could not be taken in" in page.text


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("calibration/scans", {"modality": "x"}),
        ("calibration/limit", {"modality": "lung_ct", "target": "0.05"}),
        ("calibration/limit", {"modality": "x", "target": "x"}),
        ("calibration/limit/remove", {"modality": "x"}),
        ("calibration/scans/discard", {"modality": "x"}),
        ("detectors/activate", {"modality": "lung_ct", "name": "../other"}),
        ("detectors/activate", {"modality": "x", "name": "tiny"}),
        ("detectors/shadow", {"modality": "lung_ct", "name": "other"}),
        ("detectors/shadow/stop", {"modality": "x"}),
    ],
)
def test_what_cannot_be_done_says_why(admin: Browser, path: str, data: dict[str, str]) -> None:
    page = admin.follow(admin.send(f"/admin/{path}", data))

    assert "notice-error" in page.html
