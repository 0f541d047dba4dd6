"""Fixtures for the tests of generators."""

from pathlib import Path

import pytest

from tests.training.lab import write_reals
from training.fakes import diffusion


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Four drawn lungs as prepared files."""
    return [scan.path for scan in write_reals(tmp_path / "scans", 4)]


@pytest.fixture(autouse=True)
def few_sampling_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let diffusion models draw in a few steps: the steps are alike, and fifty take seconds."""
    monkeypatch.setattr(diffusion, "SAMPLING_STEPS", 6)
