"""Fixtures of the web pages: the real application on a fresh data folder, and its cast of users."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from werkzeug.test import TestResponse

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.factory import create_app
from app.records import Role, User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services
from app.services.decoding.pool import DecodingPool
from tests.app.web.page import Page
from tests.factories import png_bytes, publish_tiny_weights
from tests.movable_clock import MovableClock
from tests.people import PASSWORD, application_of

CHEAP_HASH = "scrypt:128:8:1"
"""NEVER use so low a cost outside of tests."""

ANALYSIS_PATH = re.compile(r"/analyses/([0-9a-f-]{36})")


class Browser:
    """Somebody with a browser: opens pages, sends forms, and checks each page that comes."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, status: int = 200) -> Page:
        """Open a page."""
        return self._page(self.client.get(path), status)

    def send(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        """Send a form as the page would, with its token; redirects are not followed."""
        token = self.get("/sign-in" if not self.is_signed_in else "/account").csrf_token
        return self.client.post(path, data={"csrf_token": token} | (data or {}), **more)

    def submit(self, path: str, data: dict[str, Any], status: int) -> Page:
        """Send a form that is answered with a page."""
        return self._page(self.send(path, data), status)

    def follow(self, response: TestResponse) -> Page:
        """Open the page that a response leads to."""
        assert response.status_code in (302, 303), response.text
        return self.get(response.location)

    def sign_in(self, username: str, password: str = PASSWORD) -> TestResponse:
        """Send the sign-in form."""
        return self.send("/sign-in", {"username": username, "password": password})

    def upload(
        self, data: bytes | None = None, modality: str = "lung_ct", name: str = "scan.png"
    ) -> TestResponse:
        """Send one scan; a fresh PNG where None."""
        file = (io.BytesIO(png_bytes() if data is None else data), name)
        return self.send("/analyses", {"modality": modality, "images": file})

    def analyse(self, data: bytes | None = None, modality: str = "lung_ct") -> UUID:
        """Upload a scan that is accepted; return the id of its analysis."""
        response = self.upload(data, modality)
        assert response.status_code == 303, response.text
        match = ANALYSIS_PATH.search(response.location)
        assert match
        return UUID(match[1])

    @property
    def is_signed_in(self) -> bool:
        """Whether the account page opens."""
        return self.client.get("/account").status_code == 200

    def _page(self, response: TestResponse, status: int) -> Page:
        assert response.status_code == status, response.text
        assert response.mimetype == "text/html"
        page = Page(response.text)
        assert page.problems() == []
        return page


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile each template once for all applications, which would take half of a test's time."""
    cache = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": cache})
        yield


@pytest.fixture
def settings(tmp_path: Path, tiny_weights_dir: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tiny_weights_dir, verdict_wait_s=10)


@pytest.fixture
def lung_engine(tmp_path: Path) -> InProcessEngine:
    """An engine for which only lung CT is published; the first request starts it."""
    publish_tiny_weights(tmp_path / "weights", "lung_ct")
    return InProcessEngine(tmp_path / "weights", max_queue=4, max_batch=1, device="cpu")


@pytest.fixture
def blocked(engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Holds the engine at its next scan until the event is set."""
    release, judge = Event(), engine._judge

    def wait_and_judge(*batch: Any) -> None:
        release.wait(30)
        judge(*batch)

    monkeypatch.setattr(engine, "_judge", wait_and_judge)
    return release


@pytest.fixture
def clock() -> MovableClock:
    """The time around sessions, codes and throttling; it stands still until a test moves it."""
    return MovableClock()


MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(
    settings: Settings,
    engine: InProcessEngine,
    clock: MovableClock,
    decoding_pool: DecodingPool,
) -> Iterator[MakeApp]:
    """Return what builds an application whose settings differ from the usual ones."""
    built: list[Flask] = []

    def make_app(engine: Engine = engine, **changes: Any) -> Flask:
        app = create_app(
            replace(settings, **changes),
            engine,
            PasswordService(CHEAP_HASH),
            clock,
            decoding_pool,
        )
        built.append(app)
        return app

    yield make_app
    for app in built:
        app.extensions["veriscan"].stop()


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["veriscan"]
    return found


@pytest.fixture
def anonymous(app: Flask) -> Browser:
    """Somebody who is not signed in."""
    return Browser(app.test_client())


def make_user(services: Services, username: str, role: Role = Role.CLINICIAN) -> User:
    user = services.identity.registration.register(application_of(username))
    return services.accounts.set_role(user.id, role) if role is not user.role else user


def turn_codes_on(services: Services, user: User, clock: MovableClock) -> None:
    factors = services.identity.second_factors
    factors.begin(user.id)
    factors.confirm(user.id, pyotp.TOTP(factors.seed(user.id)).at(clock()))


@pytest.fixture
def alice(services: Services) -> User:
    """A clinician, the owner of whatever is tested."""
    return make_user(services, "alice")


def browser_of(app: Flask, user: User) -> Browser:
    browser = Browser(app.test_client())
    assert browser.sign_in(user.username).status_code == 303
    return browser


@pytest.fixture
def owner(app: Flask, alice: User) -> Browser:
    """Alice, signed in."""
    return browser_of(app, alice)


@pytest.fixture
def stranger(app: Flask, services: Services) -> Browser:
    """Charlie, signed in; has no business with Alice's things."""
    return browser_of(app, make_user(services, "charlie"))


@pytest.fixture
def admin(app: Flask, services: Services) -> Browser:
    """Ada, an administrator, signed in."""
    return browser_of(app, make_user(services, "ada", Role.ADMIN))


@pytest.fixture
def deactivated(app: Flask, services: Services) -> Browser:
    """Dan, signed in when an administrator deactivated him."""
    dan = make_user(services, "dan")
    browser = browser_of(app, dan)
    services.accounts.set_active(dan.id, active=False)
    return browser


def browser_on(app: Flask, username: str = "alice", role: Role = Role.CLINICIAN) -> Browser:
    """Return the browser of a new user of an application, signed in."""
    return browser_of(app, make_user(app.extensions["veriscan"], username, role))


CAST = ("owner", "stranger", "admin", "deactivated", "anonymous")


@pytest.fixture
def actor(request: pytest.FixtureRequest) -> Browser:
    """The member of the cast that a test names with ``indirect``."""
    found: Browser = request.getfixturevalue(request.param)
    return found
