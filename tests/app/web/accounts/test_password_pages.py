"""New passwords by link, and the pages around them."""

import pytest

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import Browser, MakeApp
from tests.people import PASSWORD

NEW_PASSWORD = "harbour violet 27 spoon"
NEW = {"password": NEW_PASSWORD, "confirm": NEW_PASSWORD}


@pytest.fixture
def link(services: Services, alice: User) -> str:
    """A link from an administrator."""
    return services.identity.resets.make_link(alice.id, actor=alice.id)


def test_a_link_leads_to_a_new_password_once(anonymous: Browser, owner: Browser, link: str) -> None:
    secret = anonymous.get(link).forms[-1].fields["link"]

    page = anonymous.follow(anonymous.send("/reset-password", NEW | {"link": secret}))

    assert "Your new password is set." in page.text
    assert not owner.is_signed_in
    anonymous.get(link, 410)
    anonymous.submit("/reset-password", NEW | {"link": secret}, 410)
    assert anonymous.sign_in("alice", NEW_PASSWORD).status_code == 303


@pytest.mark.parametrize("link", ["", "?link=", "?link=guess", "?link=%00"])
def test_a_link_that_is_none_says_so(anonymous: Browser, link: str) -> None:
    assert "This link is not valid" in anonymous.get(f"/reset-password{link}", 410).text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("password", "short", "Use at least 12 characters"),
        ("password", "", "Enter a new password."),
        ("confirm", "another one entirely", "The two passwords differ"),
    ],
)
def test_a_refused_password_leaves_the_link_good(
    anonymous: Browser, link: str, field: str, value: str, message: str
) -> None:
    secret = anonymous.get(link).forms[-1].fields["link"]

    page = anonymous.submit("/reset-password", NEW | {"link": secret, field: value}, 422)

    assert message in (page.error_of(field) or "")
    anonymous.get(link)


def test_without_e_mail_the_administrator_is_named(anonymous: Browser) -> None:
    assert "An administrator can give you a link" in anonymous.get("/forgot-password").text
    anonymous.submit("/forgot-password", {"email": "alice@hospital.org"}, 503)


def test_with_e_mail_the_answer_is_the_same_for_everybody(make_app: MakeApp) -> None:
    app = make_app(
        smtp_url="smtp://127.0.0.1:9",
        mail_from="veriscan@hospital.org",
        public_url="https://veriscan.hospital.org",
    )
    browser = Browser(app.test_client())
    assert "/forgot-password" in browser.get("/sign-in").links

    pages = [
        browser.submit("/forgot-password", {"email": address}, 200).text
        for address in ("alice@hospital.org", "nobody@hospital.org", "nonsense")
    ]

    assert len(set(pages)) == 1
    browser.submit("/forgot-password", {"email": ""}, 422)


def test_too_many_attempts_are_answered_with_when_to_try_again(
    anonymous: Browser, alice: User
) -> None:
    for _ in range(5):
        anonymous.submit("/sign-in", {"username": "alice", "password": "wrong"}, 422)

    response = anonymous.sign_in("alice", PASSWORD)

    assert response.status_code == 429
    assert response.headers["Retry-After"] == "60"
    assert "Try again in 60 seconds." in response.text
