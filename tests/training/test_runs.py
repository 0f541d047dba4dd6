from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.lab import SIDE
from training.config import FakesConfig
from training.errors import StaleRunError
from training.runs import RANKS, claim, is_first_process

FAKES = FakesConfig(generator="dcgan", arguments={"output_side": SIDE})


def test_a_folder_is_claimed_once_and_then_again_with_the_same_settings(tmp_path: Path) -> None:
    claim(tmp_path / "dcgan", 1, FAKES)

    claim(tmp_path / "dcgan", 1, FAKES)


def test_a_folder_made_with_other_settings_is_refused_by_its_name(tmp_path: Path) -> None:
    claim(tmp_path / "dcgan", 1, FAKES)

    with pytest.raises(StaleRunError, match=r"dcgan was made with other settings"):
        claim(tmp_path / "dcgan", 1, replace(FAKES, seed=7))


@pytest.mark.parametrize(
    ("told", "is_first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
    ],
    ids=["alone", "torchrun", "torchrun, second machine", "Lightning within Slurm", "Slurm"],
)
def test_the_first_process_is_known_by_what_its_starter_tells(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], is_first: bool
) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, number in told.items():
        monkeypatch.setenv(name, number)

    assert is_first_process() is is_first
