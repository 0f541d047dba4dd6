from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import make_lung, stored
from training.errors import GeneratorError
from training.fakes import denoiser
from training.fakes.base import create

NAME = "diffusion_redraw"
TINY = TINY_ARGUMENTS[NAME]


def test_all_of_it_is_redrawn_at_a_resolution_that_it_names(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)

    fakes = [made(generator, seed=seed) for seed in range(12)]

    assert {fake.drawn_side for fake in fakes} == {16, 24}
    assert {fake.tamper for fake in fakes} == {"redrawn"}
    assert all(fake.mask is None for fake in fakes)


def test_training_brings_what_is_redrawn_from_little_noise_near_the_original(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "LEARNING_RATE", 3e-3)
    little = {**TINY, "sides": [32], "noise_range": [0.15, 0.15]}
    begun = fitted(NAME, little, scans, tmp_path / "begun")
    trained = fitted(NAME, {**little, "steps": 60}, scans, tmp_path / "trained")
    original = stored(make_lung(0))

    before, after = (np.abs(made(g).grey - original).mean() for g in (begun, trained))

    assert 0.001 < after < 0.8 * before


def test_a_scan_that_is_no_square_keeps_its_shape(scans: list[Path], tmp_path: Path) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)
    oblong = stored(make_lung(0))[:40]

    fake = generator.make(oblong, seed=1)

    assert fake is not None
    assert fake.grey.shape == oblong.shape


def test_a_network_of_many_resolutions_redraws_as_well() -> None:
    deep = create(NAME, {**TINY, "sides": [64], "multiples": [1, 1, 1, 1, 1, 1]})

    fake = deep.make(stored(make_lung(0)), seed=1)

    assert fake is not None
    assert fake.grey.shape == make_lung(0).shape


def test_there_is_nothing_to_redraw_without_an_original() -> None:
    with pytest.raises(ValueError, match="nothing to redraw"):
        create(NAME, TINY).make(None, seed=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sides": []},
        {"sides": [20], "multiples": [1, 2, 2, 4]},
        {"noise_range": [0.0, 0.5]},
        {"noise_range": [0.8, 0.5]},
        {"noise_range": [0.5, 1.2]},
        {"noise_range": [0.5]},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'diffusion_redraw': "):
        create(NAME, arguments)
