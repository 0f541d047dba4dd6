"""What every generator has to do, tried on each that is registered."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.detection.titles import TITLES
from tests.training.fakes.contract import LONGER_ARGUMENTS, TINY_ARGUMENTS, fitted, made
from tests.training.lab import SIDE
from training.fakes.base import create, generators
from training.fakes.checkpoints import CHECKPOINT_NAME

SEEDS = range(6)  # not every seed shows every part of what was learned


def test_every_generator_is_tried_here() -> None:
    assert set(generators()) == set(TINY_ARGUMENTS) >= set(LONGER_ARGUMENTS)


def test_every_generator_has_a_title_for_people() -> None:
    assert set(generators()) <= TITLES.keys()


@pytest.mark.parametrize("name", TINY_ARGUMENTS)
def test_a_fake_is_a_scan(name: str, scans: list[Path], tmp_path: Path) -> None:
    fake = made(fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / name))

    assert fake.grey.shape == (SIDE, SIDE)
    assert fake.grey.dtype == np.float32
    assert 0 <= fake.grey.min() < fake.grey.max() <= 1


@pytest.mark.parametrize("name", TINY_ARGUMENTS)
def test_the_same_seed_gives_the_same_fake_and_another_another(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / name)
    first = made(generator, seed=5)
    torch.manual_seed(123)

    other = made(generator, seed=6)  # the order does not matter

    assert np.array_equal(made(generator, seed=5).grey, first.grey)
    assert not np.array_equal(other.grey, first.grey)


@pytest.mark.parametrize("name", LONGER_ARGUMENTS)
def test_a_finished_training_is_loaded_and_not_repeated(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    before = made(fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / name))
    checkpoints = {p: p.stat().st_mtime_ns for p in (tmp_path / name).rglob(CHECKPOINT_NAME)}

    again = fitted(name, TINY_ARGUMENTS[name], [], tmp_path / name)

    assert np.array_equal(made(again).grey, before.grey)
    assert checkpoints
    assert all(path.stat().st_mtime_ns == time for path, time in checkpoints.items())


@pytest.mark.parametrize("name", LONGER_ARGUMENTS)
def test_a_stopped_training_ends_as_one_that_was_never_stopped(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    whole = {**TINY_ARGUMENTS[name], **LONGER_ARGUMENTS[name]}
    uninterrupted = fitted(name, whole, scans, tmp_path / "whole")
    stopped = fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / "parts")

    resumed = fitted(name, whole, scans, tmp_path / "parts")

    for seed in SEEDS:
        end = made(uninterrupted, seed=seed).grey
        assert made(resumed, seed=seed).grey == pytest.approx(end, abs=1e-6)
    assert any(
        not np.allclose(made(stopped, seed=s).grey, made(uninterrupted, seed=s).grey, atol=1e-6)
        for s in SEEDS
    )


@pytest.mark.parametrize("name", LONGER_ARGUMENTS)
def test_another_seed_learns_another_generator(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    one = fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / "one", seed=1)
    other = fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / "other", seed=2)

    pairs = [(made(one, seed=s).grey, made(other, seed=s).grey) for s in SEEDS]
    assert any(not np.array_equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("name", ["dcgan", "diffusion", "fastgan"])
def test_a_synthetic_scan_has_no_mask(name: str, scans: list[Path], tmp_path: Path) -> None:
    fake = made(fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / name))

    assert fake.mask is None
    assert fake.center is None
    assert fake.tamper == ""


@pytest.mark.parametrize("name", ["dcgan", "diffusion", "fastgan"])
def test_scans_made_together_are_those_made_one_by_one(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, TINY_ARGUMENTS[name], scans, tmp_path / name)
    together = generator.sample([3, 4, 5])

    for grey, seed in zip(together, (3, 4, 5), strict=True):
        assert grey == pytest.approx(made(generator, seed=seed).grey, abs=1e-4)


@pytest.mark.parametrize("name", ["classical_edits", "ctgan_imitation", "inpainting_gan"])
def test_edits_are_not_sampled_from_seeds_alone(name: str) -> None:
    with pytest.raises(ValueError, match="needs authentic scans"):
        create(name, TINY_ARGUMENTS[name]).sample([1])


def test_at_least_one_seed_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        create("dcgan", TINY_ARGUMENTS["dcgan"]).sample([])
