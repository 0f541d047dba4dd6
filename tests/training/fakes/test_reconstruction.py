from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import make_lung, stored
from training.data.images import write_grey
from training.errors import GeneratorError
from training.fakes import reconstruction
from training.fakes.base import create
from training.fakes.reconstruction import Reconstruction, _initialise

NAME = "reconstruction"
TINY = TINY_ARGUMENTS[NAME]


def test_a_round_trip_has_no_mask(scans: list[Path], tmp_path: Path) -> None:
    fake = made(fitted(NAME, TINY, scans, tmp_path / NAME))

    assert fake.mask is None
    assert fake.center is None


def test_training_brings_round_trips_near_their_originals(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "LEARNING_RATE", 5e-3)
    alone = {**TINY, "upscaling_factors": [], "min_strength": 1.0}
    begun = fitted(NAME, alone, scans, tmp_path / "begun")
    trained = fitted(NAME, {**alone, "steps": 60}, scans, tmp_path / "trained")
    original = stored(make_lung(0))

    before, after = (np.abs(made(g).grey - original).mean() for g in (begun, trained))

    assert 0.001 < after < 0.6 * before


def test_an_upscaler_begins_as_bicubic_interpolation() -> None:
    generator = create(NAME, {**TINY, "upscaling_factors": [2]})
    assert isinstance(generator, Reconstruction)
    network = generator.networks["super_resolution_x2"].apply(_initialise)
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)

    back, _ = network(ramp)

    assert back[..., 4:-4].detach().numpy() == pytest.approx(ramp[..., 4:-4].numpy(), abs=0.01)


def test_every_network_is_drawn_and_named(scans: list[Path], tmp_path: Path) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)

    tampers = {made(generator, seed=seed).tamper for seed in range(20)}

    assert tampers == {"autoencoder", "super_resolution_x2", "super_resolution_x4"}


def test_a_weaker_round_trip_changes_less(scans: list[Path], tmp_path: Path) -> None:
    generator = create(NAME, {**TINY, "min_strength": 0.001})
    generator.fit(scans, tmp_path / NAME, seed=1)
    full = fitted(NAME, {**TINY, "min_strength": 1.0}, scans, tmp_path / NAME)
    original = stored(make_lung(0))

    for seed in range(4):
        weaker = np.abs(made(generator, seed=seed).grey - original).mean()
        assert weaker < np.abs(made(full, seed=seed).grey - original).mean()


@pytest.mark.parametrize("shape", [(96, 96), (50, 71), (33, 16)])
def test_a_scan_keeps_its_own_size(
    shape: tuple[int, int], scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)
    original = make_lung(0)[: shape[0], : shape[1]]

    for seed in range(4):
        fake = generator.make(original, seed=seed)
        assert fake is not None
        assert fake.grey.shape == shape
    assert np.array_equal(original, make_lung(0)[: shape[0], : shape[1]])


def test_scans_smaller_than_a_crop_can_be_learned_from(tmp_path: Path) -> None:
    write_grey(tmp_path / "small.png", make_lung(0, side=20))

    fitted(NAME, TINY, [tmp_path / "small.png"], tmp_path / NAME)


def test_a_round_trip_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an authentic scan"):
        create(NAME, TINY).make(None, seed=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"upscaling_factors": [3]},
        {"crop_side": 40},
        {"width": 20},
        {"min_strength": 0},
        {"strength": 1},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'reconstruction': "):
        create(NAME, arguments)
