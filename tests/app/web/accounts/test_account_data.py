"""One's own data: changing it, taking it along, deleting it."""

import io
import json
from zipfile import ZipFile

import pytest
from flask import Flask
from PIL import Image

from app.records import Opinion, Role, User
from app.services.container import Services
from tests.app.web.conftest import Browser, browser_of, make_user
from tests.movable_clock import MovableClock


def test_all_that_is_stored_comes_in_one_file(
    owner: Browser, stranger: Browser, alice: User
) -> None:
    analysis_id = owner.analyse()
    stranger.analyse()
    owner.send(f"/analyses/{analysis_id}/note", {"note": "ask again", "tags": "ward 3"})

    response = owner.client.get("/account/data")

    assert response.mimetype == "application/zip"
    assert "veriscan-data.zip" in response.headers["Content-Disposition"]
    content = response.data
    response.close()
    with ZipFile(io.BytesIO(content)) as archive:
        account = json.loads(archive.read("account.json"))
        (analysis,) = json.loads(archive.read("analyses.json"))
        scans = [name for name in archive.namelist() if name.startswith("scans/")]
        Image.open(io.BytesIO(archive.read(scans[0]))).verify()
    assert account["email"] == alice.email
    assert len(account["sessions"]) == 1
    assert analysis["id"] == str(analysis_id)
    assert (analysis["note"], analysis["tags"]) == ("ask again", ["ward 3"])
    assert analysis["file_name"] == "scan.png"
    assert scans == [f"scans/{analysis_id}.png"]
    assert alice.password_hash not in str(account)


def test_ones_second_opinions_come_with_it(app: Flask, owner: Browser, services: Services) -> None:
    analysis_id = owner.analyse()
    rita = make_user(services, "rita", Role.REVIEWER)
    owner.send(f"/analyses/{analysis_id}/contest", {"reason": "The lesion is old."})
    (case,) = services.reviews.waiting_for(rita)
    services.reviews.answer(rita, case.id, Opinion.REAL, "Nothing odd.")

    asked, answered = second_opinions(owner), second_opinions(browser_of(app, rita))

    assert [case["reason"] for case in asked["asked"]] == ["The lesion is old."]
    assert asked["asked"][0]["analysis"] == str(analysis_id)
    assert asked["answered"] == answered["asked"] == []
    assert [(a["opinion"], a["comment"]) for a in answered["answered"]] == [
        ("real", "Nothing odd.")
    ]
    assert "The lesion is old." not in str(answered)  # which is for who asked, while it is open


def second_opinions(browser: Browser) -> dict[str, list[dict[str, str]]]:
    response = browser.client.get("/account/data")
    with ZipFile(io.BytesIO(response.data)) as archive:
        found: dict[str, list[dict[str, str]]] = json.loads(archive.read("reviews.json"))
    response.close()
    return found


def test_details_are_changed_on_a_page(owner: Browser, services: Services, alice: User) -> None:
    assert owner.get("/account/contact").forms[-1].fields["email"] == alice.email

    data = {"email": "a@clinic.org", "mobile": "+49 170 1234567"}
    page = owner.follow(owner.send("/account/contact", data))

    assert "a@clinic.org" in page.text
    page = owner.submit("/account/contact", {"email": "x", "mobile": "1"}, 422)
    assert page.error_of("email")
    assert page.error_of("mobile")


def test_an_account_is_deleted_by_who_types_its_name(
    owner: Browser, services: Services, alice: User
) -> None:
    owner.analyse()
    page = owner.submit("/account/delete", {"username": "somebody"}, 422)
    assert "This is not your username" in (page.error_of("username") or "")
    assert services.accounts.find(alice.id)

    page = owner.follow(owner.send("/account/delete", {"username": "alice"}))

    assert "are deleted." in page.text
    assert services.accounts.find(alice.id) is None
    assert list((services.settings.data_dir / "images").rglob("*.png")) == []


def test_the_last_administrator_cannot_delete_themselves(
    admin: Browser, services: Services
) -> None:
    page = admin.submit("/account/delete", {"username": "ada"}, 422)

    assert "last active administrator" in page.text
    assert services.accounts.has_admin()


def test_sessions_are_listed_and_ended(app: Flask, owner: Browser, alice: User) -> None:
    elsewhere, third = browser_of(app, alice), browser_of(app, alice)
    page = owner.get("/account/security")
    ends = [form.attributes["action"] or "" for form in page.forms]
    others = [action for action in ends if action.endswith("/end")]
    assert len(others) == 2
    assert "this one" in page.text

    owner.follow(owner.send(others[0]))
    assert [b.is_signed_in for b in (owner, elsewhere, third)].count(True) == 2
    owner.follow(owner.send("/account/sessions/end-others"))

    assert [b.is_signed_in for b in (owner, elsewhere, third)] == [True, False, False]


def test_nobody_ends_the_session_of_somebody_else_by_its_address(
    owner: Browser, stranger: Browser, services: Services, alice: User
) -> None:
    (session,) = services.identity.sessions.list_of_user(alice.id)

    assert stranger.send(f"/account/sessions/{session.id}/end").status_code == 404
    assert owner.is_signed_in


def test_a_cookie_from_before_sign_out_opens_nothing(app: Flask, owner: Browser) -> None:
    cookie = owner.client.get_cookie("veriscan")
    assert cookie is not None
    owner.send("/sign-out")

    thief = app.test_client()
    thief.set_cookie("veriscan", cookie.value)

    assert thief.get("/account").status_code == 302


def test_a_cookie_planted_before_sign_in_is_not_the_one_after(
    app: Flask, anonymous: Browser, stranger: Browser, alice: User
) -> None:
    """Session fixation: the attacker's own session is put into the victim's browser."""
    planted = stranger.client.get_cookie("veriscan")
    assert planted is not None
    anonymous.client.set_cookie("veriscan", planted.value)
    token = anonymous.get("/account").csrf_token

    data = {"csrf_token": token, "username": "alice", "password": "ravine otter lamp 91"}
    assert anonymous.client.post("/sign-in", data=data).status_code == 303

    attacker = app.test_client()
    attacker.set_cookie("veriscan", planted.value)
    assert attacker.get("/account").status_code == 302
    assert "alice@hospital.org" in anonymous.get("/account").text


@pytest.mark.parametrize(("minutes", "is_in"), [(29, True), (31, False)])
def test_an_administrator_who_leaves_is_signed_out(
    admin: Browser, clock: MovableClock, minutes: int, is_in: bool
) -> None:
    clock.move(minutes=minutes)

    assert admin.is_signed_in is is_in


def test_an_approved_account_signs_in(app: Flask, anonymous: Browser, services: Services) -> None:
    services.site_settings.change({"registration": "approval"}, actor=None)
    form = {"username": "grace", "email": "g@hospital.org", "mobile": "+49 151 23456789"}
    secret = {"password": "ravine otter lamp 91", "confirm": "ravine otter lamp 91"}

    page = anonymous.submit("/register", form | secret, 200)

    assert "waits for approval" in page.text
    assert (
        "waits for an administrator"
        in anonymous.submit(
            "/sign-in", {"username": "grace", "password": secret["password"]}, 422
        ).text
    )
    grace = services.accounts.list_users()[0]
    services.accounts.set_active(grace.id, active=True)
    assert anonymous.sign_in("grace").status_code == 303


def test_an_invitation_fills_in_its_address(
    anonymous: Browser, services: Services, admin: Browser
) -> None:
    ada = services.accounts.list_users()[0]
    services.site_settings.change({"registration": "invitation"}, actor=None)
    _, secret = services.identity.invitations.invite(
        actor=ada.id, email="grace@hospital.org", role=Role.REVIEWER
    )
    anonymous.get("/register", 403)
    anonymous.get("/register?invitation=guess", 410)

    form = anonymous.get(f"/register?invitation={secret}").forms[-1]
    assert form.fields["email"] == "grace@hospital.org"
    data = {
        "username": "grace",
        "email": "grace@hospital.org",
        "mobile": "+49 151 23456789",
        "password": "ravine otter lamp 91",
        "confirm": "ravine otter lamp 91",
        "invitation": secret,
    }
    assert anonymous.send("/register", data).status_code == 303

    assert "Reviewer" in anonymous.get("/account").text


def test_deactivation_ends_session_and_token_at_the_next_request(
    owner: Browser, anonymous: Browser, services: Services, alice: User
) -> None:
    _, secret = services.identity.tokens.create(alice.id, "script")
    headers = {"Authorization": f"Bearer {secret}"}
    assert anonymous.client.get("/api/v1/analyses", headers=headers).status_code == 200

    make_user(services, "root", Role.ADMIN)
    services.accounts.set_active(alice.id, active=False)

    assert anonymous.client.get("/api/v1/analyses", headers=headers).status_code == 401
    assert not owner.is_signed_in
