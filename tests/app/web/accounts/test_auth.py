"""Registering, signing in and out, and what ends a session."""

from typing import Any

import pytest
from flask import Flask

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import Browser, MakeApp
from tests.people import PASSWORD

NEW_USER = {
    "username": "grace",
    "email": "grace@hospital.org",
    "mobile": "+49 151 23456789",
    "password": PASSWORD,
    "confirm": PASSWORD,
}


def test_registering_makes_an_account_and_signs_in(anonymous: Browser) -> None:
    page = anonymous.follow(anonymous.send("/register", NEW_USER))

    assert "Welcome, grace" in page.text
    assert anonymous.is_signed_in


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("username", "1", "Use 3 to 32 letters"),
        ("username", "", "Enter a username."),
        ("username", "Alice", "This username is taken"),
        ("email", "nobody", "This is not an e-mail address"),
        ("email", "ALICE@hospital.org", "An account with this e-mail address exists"),
        ("mobile", "12", "This is not a mobile number"),
        ("mobile", "", "Enter your mobile number."),
        ("password", "short", "Use at least 12 characters"),
        ("password", "", "Enter a password."),
        ("confirm", "another one entirely", "The two passwords differ"),
        ("confirm", "", "Enter the password once more."),
    ],
)
def test_a_refused_field_is_named_where_it_is_and_at_the_top(
    anonymous: Browser, alice: User, field: str, value: str, message: str
) -> None:
    page = anonymous.submit("/register", NEW_USER | {field: value}, 422)

    assert message in (page.error_of(field) or "")
    assert f"#{field}" in page.links
    assert page.title.startswith("Error: ")
    assert not anonymous.is_signed_in


def test_all_that_is_wrong_is_told_at_once_and_what_was_right_stays(anonymous: Browser) -> None:
    page = anonymous.submit("/register", {"username": "grace", "email": "x"}, 422)

    assert page.error_of("username") is None
    assert {name for name in NEW_USER if page.error_of(name)} == {
        "email",
        "mobile",
        "password",
        "confirm",
    }
    assert page.forms[-1].fields["username"] == "grace"


def test_a_password_is_never_sent_back(anonymous: Browser) -> None:
    page = anonymous.submit("/register", NEW_USER | {"email": "x"}, 422)

    assert PASSWORD not in page.html


def test_a_page_shows_what_was_typed_as_text(anonymous: Browser) -> None:
    page = anonymous.submit(
        "/register", NEW_USER | {"username": '"><script>alert(1)</script>'}, 422
    )

    assert "<script>alert" not in page.html


def test_nobody_can_register_where_registration_is_closed(make_app: MakeApp) -> None:
    browser = Browser(make_app(registration_open=False).test_client())

    assert "Registration is closed" in browser.get("/register", 403).text
    browser.submit("/register", NEW_USER, 403)
    assert "/register" not in browser.get("/sign-in").links


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@hospital.org"])
def test_signing_in_by_name_or_address_opens_the_overview(
    anonymous: Browser, alice: User, name: str
) -> None:
    page = anonymous.follow(anonymous.sign_in(name))

    assert "What would you like to check?" in page.text


@pytest.mark.parametrize(
    ("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("alice", " " + PASSWORD)]
)
def test_a_failed_sign_in_does_not_say_what_was_wrong(
    anonymous: Browser, alice: User, username: str, password: str
) -> None:
    page = anonymous.submit("/sign-in", {"username": username, "password": password}, 422)

    assert "The username or the password is wrong." in page.text
    assert not anonymous.is_signed_in


def test_a_deactivated_user_cannot_sign_in(
    anonymous: Browser, alice: User, services: Services
) -> None:
    services.accounts.set_active(alice.id, active=False)

    page = anonymous.submit("/sign-in", {"username": "alice", "password": PASSWORD}, 422)

    assert "This account is deactivated." in page.text


def test_a_user_is_signed_out_once_deactivated_and_in_again_never_by_accident(
    owner: Browser, alice: User, services: Services
) -> None:
    assert owner.is_signed_in

    services.accounts.set_active(alice.id, active=False)

    assert not owner.is_signed_in


def test_a_user_is_signed_out_once_deleted(owner: Browser, alice: User, services: Services) -> None:
    services.accounts.delete(alice.id)

    assert not owner.is_signed_in


def test_signing_out_ends_the_session(owner: Browser) -> None:
    page = owner.follow(owner.send("/sign-out"))

    assert "You are signed out." in page.text
    assert not owner.is_signed_in


def test_signing_out_is_not_done_by_a_link(owner: Browser) -> None:
    owner.get("/sign-out", 405)

    assert owner.is_signed_in


@pytest.mark.parametrize("path", ["/register", "/sign-in"])
def test_who_is_signed_in_is_led_on(owner: Browser, path: str) -> None:
    assert owner.client.get(path).location == "/"


def test_the_session_before_signing_in_is_not_the_one_after(
    anonymous: Browser, alice: User
) -> None:
    before = anonymous.get("/sign-in").csrf_token
    with anonymous.client.session_transaction() as session:
        session["planted"] = "by somebody else"

    anonymous.sign_in("alice")

    with anonymous.client.session_transaction() as session:
        assert "planted" not in session
    assert anonymous.get("/account").csrf_token != before


@pytest.mark.parametrize("path", ["/register", "/sign-in", "/sign-out", "/analyses"])
def test_a_form_without_its_token_is_refused(owner: Browser, path: str) -> None:
    response = owner.client.post(path, data=NEW_USER)

    assert response.status_code == 400
    assert "This form has expired" in response.text


@pytest.mark.parametrize("path", ["/analyses", "/account", "/analyses/new"])
def test_a_guarded_page_is_come_back_to(anonymous: Browser, alice: User, path: str) -> None:
    page = anonymous.follow(anonymous.client.get(path))
    target = page.forms[-1].fields["next"]

    response = anonymous.send(
        "/sign-in", {"username": "alice", "password": PASSWORD, "next": target}
    )

    assert response.location == path


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/account",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/sign-out",
        "/static/css/base.css",
        "/nothing",
        "http://[",
        "/account\r\nSet-Cookie: a=b",
        "",
    ],
)
def test_nobody_is_led_to_a_foreign_address(anonymous: Browser, alice: User, target: str) -> None:
    data = {"username": "alice", "password": PASSWORD, "next": target}

    location = anonymous.send("/sign-in", data).location

    assert location in ("/", "/account")


@pytest.mark.parametrize(
    "cookie", ["nonsense", "", "a:b", "00000000-0000-0000-0000-000000000000:x"]
)
def test_a_session_of_nobody_is_nobodys(anonymous: Browser, cookie: str) -> None:
    with anonymous.client.session_transaction() as session:
        session["_user_id"] = cookie

    assert not anonymous.is_signed_in


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(
    app: Flask, alice: User, make_app: MakeApp
) -> None:
    plain = Browser(app.test_client()).sign_in("alice").headers["Set-Cookie"]
    assert plain.startswith("veriscan=")
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain

    secure_app = make_app(secure_cookies=True)
    options: dict[str, Any] = {"base_url": "https://localhost"}
    response = secure_app.test_client().get("/sign-in", **options)
    secure = response.headers["Set-Cookie"]
    assert secure.startswith("__Host-veriscan=")
    assert "Secure" in secure
    assert "Path=/" in secure
