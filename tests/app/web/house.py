"""An application that a whole file of tests shares, with judged scans and people in it."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from flask import Flask

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.factory import create_app
from app.records import Role, User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services
from app.services.decoding.pool import DecodingPool
from tests.app.services.reviews.review_board import Board
from tests.app.web.conftest import CHEAP_HASH, Browser, browser_of, make_user

_numbers = count(1)


@dataclass
class House:
    """The application, with the means to put people and finished analyses into it."""

    app: Flask

    @property
    def services(self) -> Services:
        """The services of the application."""
        found: Services = self.app.extensions["veriscan"]
        return found

    @property
    def board(self) -> Board:
        """What keeps analyses as if they had been uploaded and judged."""
        return Board(self.services)

    def user(self, role: Role = Role.CLINICIAN) -> User:
        """Return a new user."""
        return make_user(self.services, f"{role.value}{next(_numbers)}", role)

    def browser(self, user: User | None = None) -> Browser:
        """Return the browser of somebody who is signed in; None is a stranger."""
        return browser_of(self.app, user) if user else Browser(self.app.test_client())


def open_house(data_dir: Path, weights_dir: Path, pool: DecodingPool | None = None) -> House:
    """Return an application on a folder; the processes that decode its scans may be shared."""
    engine = InProcessEngine(weights_dir, max_queue=4, max_batch=1, device="cpu", threads=1)
    settings = Settings(data_dir=data_dir, weights_dir=weights_dir, max_upload_bytes=2**17)
    return House(create_app(settings, engine, PasswordService(CHEAP_HASH), pool=pool))


def cast_of(app: Flask) -> dict[str, Browser]:
    """Put one of each into an application; return their browsers, all but one signed in."""
    services: Services = app.extensions["veriscan"]
    roles = {"reviewer": Role.REVIEWER, "admin": Role.ADMIN}
    users = {
        name: make_user(services, name, roles.get(name, Role.CLINICIAN))
        for name in ("owner", "stranger", "reviewer", "admin", "deactivated")
    }
    cast = {name: browser_of(app, user) for name, user in users.items()}
    services.accounts.set_active(users["deactivated"].id, active=False)
    return cast | {"anonymous": Browser(app.test_client())}
