"""Fixtures that put a gate in front of the networks of every engine that starts after them."""

from collections.abc import Callable, Iterator

import pytest

from app.detection.architectures import Detector
from app.detection.card import Card
from app.engine import serving as serving_module
from app.engine.backends import GreyReader, Machine
from tests.app.engine.gated import Gate, GatedBackend


@pytest.fixture
def sizes() -> list[int]:
    """The sizes of the batches that were run."""
    return []


@pytest.fixture
def gate(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> Iterator[Gate]:
    """A gate in front of the networks of every engine that starts after this."""
    gate = Gate()
    limit = 8 if "batches_of_eight" in request.fixturenames else 1

    def make(make_network: Callable[[], Detector], card: Card, _machine: Machine) -> GatedBackend:
        return GatedBackend(GreyReader(make_network(), card.preprocessing), gate, limit, sizes)

    monkeypatch.setattr(serving_module, "make_backend", make)
    yield gate
    gate.open()


@pytest.fixture
def batches_of_eight(gate: Gate, sizes: list[int]) -> list[int]:
    """Let the networks take up to eight scans at once; gives the sizes of the batches."""
    return sizes
