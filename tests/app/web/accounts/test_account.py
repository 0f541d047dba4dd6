"""The account page: the password and the API tokens."""

import re

import pytest
from flask import Flask

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import CAST, Browser, browser_of
from tests.people import PASSWORD

NEW_PASSWORD = "harbour violet 27 spoon"
CHANGE = {"current": PASSWORD, "password": NEW_PASSWORD, "confirm": NEW_PASSWORD}


def make_token(browser: Browser, name: str = "night batch") -> str:
    """Make a token on the page and return its secret."""
    page = browser.submit("/account/tokens", {"name": name, "scopes": ["read"], "days": "30"}, 200)
    match = re.search(r'id="secret">([^<]+)<', page.html)
    assert match
    return match[1]


@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (200, 200, 200, 302, 302), strict=True)), indirect=["actor"]
)
def test_everybody_who_is_let_in_has_an_account_page(actor: Browser, status: int) -> None:
    assert actor.client.get("/account").status_code == status


def test_the_page_shows_ones_own_details(owner: Browser) -> None:
    text = owner.get("/account").text

    assert "alice@hospital.org" in text
    assert "+4915123456789" in text


def test_a_new_password_replaces_the_old_and_ends_other_sessions(
    app: Flask, owner: Browser, alice: User, anonymous: Browser
) -> None:
    elsewhere = browser_of(app, alice)

    page = owner.follow(owner.send("/account/password", CHANGE))

    assert "Your password is changed." in page.text
    assert owner.is_signed_in
    assert not elsewhere.is_signed_in
    assert anonymous.sign_in("alice").status_code == 422
    assert anonymous.sign_in("alice", NEW_PASSWORD).status_code == 303


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("current", "wrong", "This is not your current password."),
        ("current", "", "Enter your current password."),
        ("password", "short", "Use at least 12 characters"),
        ("confirm", "another one entirely", "The two passwords differ"),
    ],
)
def test_a_refused_password_changes_nothing(
    owner: Browser, anonymous: Browser, field: str, value: str, message: str
) -> None:
    page = owner.submit("/account/password", CHANGE | {field: value}, 422)

    assert message in (page.error_of(field) or "")
    assert anonymous.sign_in("alice").status_code == 303


def test_the_secret_of_a_token_is_shown_once_and_opens_the_api(
    owner: Browser, anonymous: Browser
) -> None:
    secret = make_token(owner)

    page = owner.get("/account")
    assert secret not in page.html
    assert "night batch" in page.text
    headers = {"Authorization": f"Bearer {secret}"}
    assert anonymous.client.get("/api/v1/analyses", headers=headers).status_code == 200


def test_a_revoked_token_opens_nothing(
    owner: Browser, anonymous: Browser, services: Services, alice: User
) -> None:
    secret = make_token(owner)
    (token,) = services.identity.tokens.list_of_user(alice.id)

    page = owner.follow(owner.send(f"/account/tokens/{token.id}/revoke"))

    assert "The token is revoked." in page.text
    headers = {"Authorization": f"Bearer {secret}"}
    assert anonymous.client.get("/api/v1/analyses", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["", "   ", "x" * 61])
def test_a_token_needs_a_name(owner: Browser, name: str) -> None:
    page = owner.submit("/account/tokens", {"name": name}, 422)

    assert page.error_of("name")


@pytest.mark.parametrize("actor", ["stranger", "admin", "deactivated", "anonymous"], indirect=True)
def test_nobody_revokes_the_token_of_somebody_else(
    actor: Browser, owner: Browser, services: Services, alice: User
) -> None:
    make_token(owner)
    (token,) = services.identity.tokens.list_of_user(alice.id)

    assert actor.send(f"/account/tokens/{token.id}/revoke").status_code in (302, 404)

    assert services.identity.tokens.list_of_user(alice.id) == [token]


def test_the_name_of_a_token_is_shown_as_text(owner: Browser) -> None:
    make_token(owner, "<b>bold</b>")

    page = owner.get("/account")

    assert "<b>bold" not in page.html
    assert "<b>bold</b>" in page.text
