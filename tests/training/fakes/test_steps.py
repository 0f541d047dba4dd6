from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.fakes.averaging import averaged
from training.fakes.checkpoints import CHECKPOINT_NAME
from training.fakes.device import noise
from training.fakes.squares import draw_batch, read_squares, to_greys
from training.fakes.steps import Training


class StoppedError(Exception):
    """Stands for whatever ends a training early."""


def walk(folder: Path, *, steps: int, stop_at: int | None = None, save_every: int = 2) -> nn.Linear:
    """Train as a generator would; ``stop_at`` ends it in the middle of that step."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    training = Training(
        title="walk",
        folder=folder,
        parts={"network": network},
        steps=steps,
        seed=1,
        save_every=save_every,
    )
    remaining = training.resume()
    for number, rng in zip(remaining, training.beat(remaining), strict=True):
        if number == stop_at:
            raise StoppedError
        with torch.no_grad():
            network.weight += float(rng.random()) + torch.rand(1)
    return network


def test_a_training_stopped_between_checkpoints_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = walk(tmp_path / "whole", steps=6)
    with pytest.raises(StoppedError):
        walk(tmp_path / "parts", steps=6, stop_at=3)
    torch.manual_seed(99)

    resumed = walk(tmp_path / "parts", steps=6)

    assert resumed.weight.item() == whole.weight.item()


def test_the_last_step_is_saved_whatever_its_number(tmp_path: Path) -> None:
    walk(tmp_path, steps=3, save_every=100)

    assert torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)["done"] == 3


def test_a_short_training_loses_a_tenth_of_its_steps_at_most(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        walk(tmp_path, steps=40, stop_at=39, save_every=500)

    assert torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)["done"] == 36


def test_a_finished_training_has_no_steps_left(tmp_path: Path) -> None:
    before = walk(tmp_path, steps=3).weight.item()

    assert walk(tmp_path, steps=3, stop_at=0).weight.item() == before


# --- averages -------------------------------------------------------------------------------


def test_an_average_follows_quickly_at_first_and_slowly_later() -> None:
    network = nn.Linear(1, 1)
    average = averaged(network, decay=0.9)
    followed = average.module
    assert isinstance(followed, nn.Linear)
    nn.init.zeros_(network.weight)
    average.update_parameters(network)
    assert followed.weight.item() == 0

    nn.init.ones_(network.weight)
    average.update_parameters(network)
    early = followed.weight.item()
    for _ in range(200):
        average.update_parameters(network)
    nn.init.zeros_(network.weight)
    average.update_parameters(network)

    assert early == pytest.approx(1 - 2 / 11)
    assert followed.weight.item() == pytest.approx(0.9, abs=1e-3)


def test_an_average_takes_counters_over_as_they_are() -> None:
    network = nn.BatchNorm2d(2)
    average = averaged(network, decay=0.9)
    for _ in range(3):
        network(torch.randn(4, 2, 3, 3))
        average.update_parameters(network)

    assert average.module.num_batches_tracked == 3


# --- images ---------------------------------------------------------------------------------


def test_scans_are_read_as_squares_and_given_back(scans: list[Path]) -> None:
    squares = read_squares(scans, 32)
    assert squares.shape == (len(scans), 1, 32, 32)
    assert squares.dtype == torch.uint8

    batch = draw_batch(squares, 5, np.random.default_rng(0), torch.device("cpu"))
    greys = to_greys(batch, 48)

    assert batch.shape == (5, 1, 32, 32)
    assert -1 <= batch.min() < 0 < batch.max() <= 1
    assert greys.shape == (5, 48, 48)
    assert greys.dtype == np.float32
    same = to_greys(squares.float() / 127.5 - 1, 32) * 255
    assert same == pytest.approx(squares[:, 0].numpy(), abs=1e-3)


def test_noise_depends_on_its_seed_alone() -> None:
    first = noise((2, 3), seed=1)

    assert torch.equal(noise((2, 3), seed=1), first)
    assert not torch.equal(noise((2, 3), seed=2), first)
