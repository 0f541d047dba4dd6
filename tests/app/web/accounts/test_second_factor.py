"""Codes at sign-in: setting them up, being asked for them, and turning them off."""

import re

import pyotp
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import Browser, browser_of
from tests.movable_clock import MovableClock
from tests.people import PASSWORD

RECOVERY_CODE = re.compile(r"<code>([a-z2-7]{6}(?:-[a-z2-7]{6}){3})</code>")


class App:
    """An authenticator app; each code is of the next step."""

    def __init__(self, seed: str, clock: MovableClock) -> None:
        self._generator = pyotp.TOTP(seed)
        self._clock = clock

    def code(self) -> str:
        self._clock.move(seconds=30)
        return self._generator.at(self._clock.now)


def set_up(browser: Browser, clock: MovableClock) -> tuple[App, list[str]]:
    """Turn codes on, on the pages; return the app and the recovery codes."""
    page = browser.follow(browser.send("/account/second-factor/begin"))
    found = re.search(r'id="seed">([A-Z2-7 ]+)<', page.html)
    assert found
    app = App(found[1].replace(" ", ""), clock)
    page = browser.submit("/account/second-factor/confirm", {"code": app.code()}, 200)
    return app, RECOVERY_CODE.findall(page.html)


def send_code(browser: Browser, code: str, target: str = "") -> TestResponse:
    token = browser.get("/sign-in/code").csrf_token
    data = {"csrf_token": token, "code": code, "next": target}
    return browser.client.post("/sign-in/code", data=data)


def test_the_code_is_asked_for_after_the_password(
    owner: Browser, anonymous: Browser, clock: MovableClock
) -> None:
    app, codes = set_up(owner, clock)
    assert len(codes) == 10

    response = anonymous.sign_in("alice")
    assert response.location == "/sign-in/code"
    assert not anonymous.is_signed_in
    wrong = send_code(anonymous, "000000")
    assert wrong.status_code == 422
    assert "This code is wrong" in wrong.text
    assert send_code(anonymous, app.code(), "/analyses").location == "/analyses"
    assert anonymous.is_signed_in


def test_a_recovery_code_signs_in_once(app: Flask, owner: Browser, clock: MovableClock) -> None:
    _, codes = set_up(owner, clock)
    first, second = Browser(app.test_client()), Browser(app.test_client())
    for browser in (first, second):
        browser.sign_in("alice")

    assert send_code(first, codes[0]).status_code == 303
    assert send_code(second, codes[0]).status_code == 422


def test_a_code_cannot_be_replayed(app: Flask, owner: Browser, clock: MovableClock) -> None:
    generator, _ = set_up(owner, clock)
    code = generator.code()
    first, second = Browser(app.test_client()), Browser(app.test_client())
    for browser in (first, second):
        browser.sign_in("alice")

    assert send_code(first, code).status_code == 303
    assert send_code(second, code).status_code == 422


def test_the_way_to_the_code_is_the_password(anonymous: Browser) -> None:
    assert anonymous.client.get("/sign-in/code?next=/account").location == "/sign-in?next=/account"


def test_who_took_too_long_begins_again(
    owner: Browser, anonymous: Browser, clock: MovableClock
) -> None:
    app, _ = set_up(owner, clock)
    anonymous.sign_in("alice")
    clock.move(minutes=11)

    page = anonymous.follow(send_code(anonymous, app.code()))

    assert "That took too long." in page.text


def test_cancelling_forgets_the_password(
    owner: Browser, anonymous: Browser, clock: MovableClock
) -> None:
    set_up(owner, clock)
    anonymous.sign_in("alice")

    anonymous.follow(anonymous.send("/sign-out"))

    assert anonymous.client.get("/sign-in/code").status_code == 302


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/sign-out"])
def test_the_code_leads_nobody_to_a_foreign_address(
    owner: Browser, anonymous: Browser, clock: MovableClock, target: str
) -> None:
    app, _ = set_up(owner, clock)
    anonymous.sign_in("alice")

    assert send_code(anonymous, app.code(), target).location == "/"


def test_the_picture_is_shown_only_while_codes_are_set_up(
    owner: Browser, clock: MovableClock
) -> None:
    assert owner.client.get("/account/second-factor/picture").status_code == 404
    owner.send("/account/second-factor/begin")
    picture = owner.client.get("/account/second-factor/picture")
    assert picture.mimetype == "image/svg+xml"
    assert picture.headers["Cache-Control"] == "no-store"

    set_up(owner, clock)

    assert owner.client.get("/account/second-factor/picture").status_code == 404
    assert owner.client.get("/account/second-factor/set-up").location == "/account/security"
    page = owner.follow(owner.send("/account/second-factor/begin"))
    assert "Codes are on already." in page.text


@pytest.mark.parametrize(("code", "message"), [("", "Enter the code"), ("000000", "is wrong")])
def test_a_wrong_first_code_turns_nothing_on(
    owner: Browser, services: Services, alice: User, code: str, message: str
) -> None:
    owner.send("/account/second-factor/begin")

    page = owner.submit("/account/second-factor/confirm", {"code": code}, 422)

    assert message in (page.error_of("code") or "")
    assert not services.identity.second_factors.is_on(alice.id)


def test_codes_are_turned_off_with_proof_that_takes_a_code(
    owner: Browser, clock: MovableClock, services: Services, alice: User
) -> None:
    app, _ = set_up(owner, clock)
    clock.move(minutes=20)
    response = owner.send(
        "/account/second-factor/turn-off", headers={"Referer": "/account/security"}
    )
    assert response.location.startswith("/confirm-identity")
    assert services.identity.second_factors.is_on(alice.id)

    owner.submit("/confirm-identity", {"current": PASSWORD}, 422)
    owner.submit("/confirm-identity", {"current": "wrong", "code": app.code()}, 422)
    proof = {"current": PASSWORD, "code": app.code(), "next": "/account/security"}
    assert owner.send("/confirm-identity", proof).location == "/account/security"
    page = owner.follow(owner.send("/account/second-factor/turn-off"))

    assert "Codes are off." in page.text
    assert not services.identity.second_factors.is_on(alice.id)


def test_new_recovery_codes_are_shown_once(owner: Browser, clock: MovableClock) -> None:
    _, old = set_up(owner, clock)

    page = owner.submit("/account/second-factor/recovery-codes", {}, 200)

    new = RECOVERY_CODE.findall(page.html)
    assert len(set(new)) == 10
    assert not set(new) & set(old)


def test_a_session_from_before_stays(
    app: Flask, owner: Browser, alice: User, clock: MovableClock
) -> None:
    elsewhere = browser_of(app, alice)

    set_up(owner, clock)

    assert elsewhere.is_signed_in
