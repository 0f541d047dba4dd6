from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.lab import SIDE
from training.config import FakesConfig
from training.errors import StaleRunError
from training.runs import claim

FAKES = FakesConfig(generator="dcgan", arguments={"output_side": SIDE})


def test_a_folder_is_claimed_once_and_then_again_with_the_same_settings(tmp_path: Path) -> None:
    claim(tmp_path / "dcgan", 1, FAKES)

    claim(tmp_path / "dcgan", 1, FAKES)


def test_a_folder_made_with_other_settings_is_refused_by_its_name(tmp_path: Path) -> None:
    claim(tmp_path / "dcgan", 1, FAKES)

    with pytest.raises(StaleRunError, match=r"dcgan was made with other settings"):
        claim(tmp_path / "dcgan", 1, replace(FAKES, seed=7))
