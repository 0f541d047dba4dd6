"""Where somebody is sent after signing in."""

from uuid import UUID

import pytest
from flask import Flask

from app.web.redirects import AFTER_SIGN_IN, after_sign_in

SOME_ID = UUID("8b9ab4a8-2c5a-4b8e-9a66-0d6c0c7a3a11")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/account", "/account"),
        ("/analyses?page=2", "/analyses"),
        (f"/analyses/{SOME_ID}", f"/analyses/{SOME_ID}"),
        ("/admin/users", "/admin/users"),
        (f"/analyses/{SOME_ID}/image", "/"),
        (f"/analyses/{SOME_ID}/delete", "/"),
        ("/healthz", "/"),
        ("https://evil.example/account", "/account"),
        ("//evil.example", "/"),
        (None, "/"),
    ],
)
def test_only_listed_pages_are_led_to(app: Flask, target: str | None, expected: str) -> None:
    with app.test_request_context():
        assert after_sign_in(target) == expected


def test_every_listed_page_exists(app: Flask) -> None:
    assert set(app.view_functions) >= AFTER_SIGN_IN
