"""A program that uses the API."""

import io
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import make_user
from tests.factories import png_bytes


class Script:
    """A program with an API token, or without."""

    def __init__(self, app: Flask, secret: str | None) -> None:
        self._client = app.test_client()
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send a request with the token."""
        return self._client.open(f"/api/v1{path}", method=method, headers=self.headers, **more)

    def analyse(
        self, data: bytes | None = None, modality: str = "lung_ct", **more: str
    ) -> TestResponse:
        """Send one scan; a fresh PNG where None."""
        file = (io.BytesIO(png_bytes() if data is None else data), "scan")
        return self.call("POST", "/analyses", data={"modality": modality, "image": file} | more)


def script_of(app: Flask, user: User, **grant: Any) -> Script:
    """Return the script of a user, with a new token."""
    services: Services = app.extensions["veriscan"]
    return Script(app, services.identity.tokens.create(user.id, "script", **grant)[1])


def script_on(app: Flask) -> Script:
    """Return the script of a new user of an application."""
    return script_of(app, make_user(app.extensions["veriscan"], "alice"))


def assert_problem(response: TestResponse, status: int, detail: str = "") -> None:
    """Check that a response says in words what went wrong."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    body = response.get_json(force=True)
    assert set(body) == {"title", "status", "detail"}
    assert body["status"] == status
    assert body["title"]
    assert detail in body["detail"]
