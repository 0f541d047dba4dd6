"""Fixtures that every test may use: tiny published weights and the real engine on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.detection.spec import modalities
from app.engine.engine import InProcessEngine
from app.services.decoding.pool import DecodingPool
from tests.factories import publish_tiny_weights


@pytest.fixture(scope="session")
def tiny_weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny published weights of every modality. Shared: never write to it."""
    weights_dir = tmp_path_factory.mktemp("weights")
    for seed, modality in enumerate(modalities()):
        publish_tiny_weights(weights_dir, modality, seed=seed)
    return weights_dir


@pytest.fixture(scope="session")
def decoding_pool() -> Iterator[DecodingPool]:
    """The processes that decode scans, shared by all tests: each takes a while to start."""
    pool = DecodingPool()
    yield pool
    pool.close()


@pytest.fixture
def engine(tiny_weights_dir: Path) -> Iterator[InProcessEngine]:
    """The real engine, serving the tiny weights on the CPU."""
    engine = InProcessEngine(tiny_weights_dir, max_queue=64, max_batch=8, device="cpu", threads=1)
    engine.start()
    yield engine
    engine.stop()
