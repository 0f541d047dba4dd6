"""Fixtures for the tests of generators."""

from pathlib import Path

import pytest

from tests.training.lab import write_reals


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Four drawn lungs as prepared files."""
    return [scan.path for scan in write_reals(tmp_path / "scans", 4)]
