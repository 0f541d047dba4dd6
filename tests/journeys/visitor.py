"""Somebody who visits a server without a browser: fills in forms and sends scans."""

import http.client
import json
import re
from contextlib import closing
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.services.accounts.passwords import PasswordService
from app.services.container import build_services
from tests.journeys.server import Server
from tests.people import PASSWORD, application_of

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    text: str
    headers: http.client.HTTPMessage

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


class Visitor:
    """Keeps cookies as a browser does, and shows a token to the API if it has one.

    Args:
        server: That is visited.
        token: Secret of an API token.
    """

    def __init__(self, server: Server, token: str = "") -> None:
        self._address = urlsplit(server.url).netloc
        self._token = token
        self._cookies: SimpleCookie = SimpleCookie()

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = FORM) -> Answer:
        """Return the answer to a request, on a connection of its own."""
        cookies = "; ".join(f"{name}={one.value}" for name, one in self._cookies.items())
        headers = {"Cookie": cookies, "Content-Type": content_type}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        with closing(http.client.HTTPConnection(self._address, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie", []):
                self._cookies.load(cookie)
            return Answer(response.status, response.read().decode(), response.headers)

    def fill_in(self, path: str, **fields: str) -> Answer:
        """Open a page with a form and send that with some fields."""
        page = self.ask("GET", path)
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        if found is None:
            return page
        return self.ask("POST", path, urlencode(fields | {"csrf_token": found[1]}).encode())

    def register(self, name: str) -> Answer:
        """Register, which signs in as well."""
        fields = {"email": f"{name}@hospital.org", "mobile": "+49 151 23456789"}
        passwords = {"password": PASSWORD, "confirm": PASSWORD}
        return self.fill_in("/register", username=name, **fields, **passwords)

    def sign_in(self, name: str) -> Answer:
        """Sign in."""
        return self.fill_in("/sign-in", username=name, password=PASSWORD)

    def send(self, scan: bytes) -> Answer:
        """Send a lung CT to the API."""
        boundary = uuid4().hex
        fields = {"modality": "lung_ct", "override_gate": "true"}
        parts = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a"'
        body = f"{parts}{head}\r\n\r\n".encode() + scan + f"\r\n--{boundary}--\r\n".encode()
        return self.ask(
            "POST", "/api/v1/analyses", body, f"multipart/form-data; boundary={boundary}"
        )


def make_token(data_dir: Path, weights_dir: Path, username: str = "alice") -> str:
    """Make an account in a data folder that no server uses; return the secret of its API token."""
    settings = Settings(data_dir=data_dir, weights_dir=weights_dir)
    engine = InProcessEngine(weights_dir, max_queue=4, max_batch=1, device="cpu")
    services = build_services(settings, engine, PasswordService("scrypt:128:8:1"))
    user = services.identity.registration.register(application_of(username))
    _, secret = services.identity.tokens.create(user.id, "script")
    services.stop()
    return secret
