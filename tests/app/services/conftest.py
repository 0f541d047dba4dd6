"""Fixtures of the services: the real ones on a fresh data folder, with a cheap password hash."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.config import Settings
from app.detection.card import Card
from app.engine.engine import InProcessEngine
from app.engine.protocol import Availability, Candidate, Engine, Judgement
from app.errors import EngineStoppedError, QueueFullError
from app.records import Role, User
from app.services.accounts.accounts import AccountService
from app.services.accounts.passwords import PasswordService
from app.services.analyses.analyses import AnalysisService
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from tests.people import PASSWORD, application_of, person

Register = Callable[[str], User]


@pytest.fixture(scope="session")
def passwords() -> PasswordService:
    """Passwords hashed with far too little cost. NEVER use such a cost outside of tests."""
    return PasswordService("scrypt:128:8:1")


@pytest.fixture
def settings(tmp_path: Path, tiny_weights_dir: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tiny_weights_dir)


@pytest.fixture
def services(
    settings: Settings,
    engine: InProcessEngine,
    passwords: PasswordService,
    decoding_pool: DecodingPool,
) -> Iterator[Services]:
    """All services, started, with the real engine on tiny weights."""
    services = services_of_owner(settings, engine, passwords, decoding_pool)
    services.start()
    yield services
    services.stop()


@pytest.fixture
def accounts(services: Services) -> AccountService:
    return services.accounts


@pytest.fixture
def analyses(services: Services) -> AnalysisService:
    return services.analyses


@pytest.fixture
def register(services: Services) -> Register:
    """Return what registers somebody by username."""
    return lambda username: services.identity.registration.register(application_of(username))


@pytest.fixture
def alice(register: Register) -> User:
    """A clinician."""
    return register("alice")


@pytest.fixture
def charlie(register: Register) -> User:
    """Another clinician, who has no business with Alice's scans."""
    return register("charlie")


@pytest.fixture
def admin(services: Services) -> User:
    """The only administrator."""
    user = services.identity.registration.create_admin(
        username="root", email="root@hospital.org", mobile="", password=PASSWORD
    )
    assert user.role is Role.ADMIN
    return user


class HeldEngine:
    """The real engine behind a gate: scans wait in front of it until the test opens the gate."""

    def __init__(self, engine: Engine, capacity: int = 64) -> None:
        self._engine = engine
        self._capacity = capacity
        self.held: list[tuple[str, NDArray[np.float32], bool, Future[Judgement]]] = []

    @property
    def device(self) -> str:
        return self._engine.device

    def start(self) -> None:
        self._engine.start()

    def stop(self) -> None:
        for *_, future in self.held:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineStoppedError())
        self.held.clear()
        self._engine.stop()

    def availability(self) -> Mapping[str, Availability]:
        return self._engine.availability()

    def submit(
        self, modality: str, scan: NDArray[np.float32], *, override_gate: bool = False
    ) -> Future[Judgement]:
        self.check_room()
        future: Future[Judgement] = Future()
        self.held.append((modality, scan, override_gate, future))
        return future

    def queue_length(self) -> int:
        return len(self.held)

    def check_room(self, scans: int = 1) -> None:
        if len(self.held) + scans > self._capacity:
            raise QueueFullError(retry_after_s=7)

    def candidates(self, modality: str) -> Sequence[Candidate]:
        return self._engine.candidates(modality)

    def activate(self, modality: str, name: str) -> Card:
        return self._engine.activate(modality, name)

    def run_first(self) -> Callable[[], None]:
        """Take the first scan into the network; returns what brings it out again."""
        modality, scan, override_gate, future = self.held.pop(0)
        assert future.set_running_or_notify_cancel()
        judged = self._engine.submit(modality, scan, override_gate=override_gate)
        judgement = judged.result(timeout=30)
        return lambda: future.set_result(judgement)

    def fail_first(self, error: Exception) -> None:
        """Let the first scan fail."""
        self.held.pop(0)[-1].set_exception(error)


@pytest.fixture
def held_engine(engine: InProcessEngine) -> HeldEngine:
    return HeldEngine(engine)


@pytest.fixture
def held(
    settings: Settings,
    held_engine: HeldEngine,
    passwords: PasswordService,
    decoding_pool: DecodingPool,
) -> Iterator[Services]:
    """Services whose engine waits for the test."""
    services = services_of_owner(settings, held_engine, passwords, decoding_pool)
    services.start()
    yield services
    services.stop()


OWNER = person()
"""The owner of whatever is analysed."""


def services_of_owner(
    settings: Settings,
    engine: Engine,
    passwords: PasswordService,
    pool: DecodingPool | None = None,
) -> Services:
    """Return new services in whose accounts ``OWNER`` is."""
    services = build_services(settings, engine, passwords, pool=pool)
    if services.accounts.find(OWNER.id) is None:
        services.accounts._users.add(OWNER)
    return services
