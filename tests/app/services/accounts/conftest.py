"""Fixtures around accounts: the real services on an empty data folder, and a clock to move."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.records import EventFilter
from app.services.accounts.identity import Identity
from app.services.accounts.passwords import PasswordService
from app.services.audit import client_address
from app.services.container import Services, build_services
from tests.movable_clock import MovableClock

HOME, ELSEWHERE = "203.0.113.7", "198.51.100.23"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def services(
    settings: Settings, passwords: PasswordService, clock: MovableClock
) -> Iterator[Services]:
    """All services, with nobody in them and no engine started; requests come from ``HOME``."""
    engine = InProcessEngine(settings.weights_dir, max_queue=8, max_batch=1, device="cpu")
    services = build_services(settings, engine, passwords, clock)
    with coming_from(HOME):
        yield services
    services.stop()


@pytest.fixture
def identity(services: Services) -> Identity:
    return services.identity


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    """Make requests come from an address for a while."""
    before = client_address.get()
    client_address.set(address)
    yield
    client_address.set(before)


def actions(services: Services) -> list[str]:
    """Return what stands in the audit trail, oldest first."""
    events = services.audit.page(EventFilter(), limit=1000)
    return [event.action for event in reversed(events)]
