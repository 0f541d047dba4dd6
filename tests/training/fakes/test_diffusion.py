from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.fakes.contract import TINY_ARGUMENTS
from training.errors import GeneratorError
from training.fakes import diffusion
from training.fakes.base import create
from training.fakes.diffusion import Diffusion
from training.fakes.squares import read_squares

NAME = "diffusion"
TINY = TINY_ARGUMENTS[NAME]


def test_it_learns_to_tell_noise_from_image(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion, "LEARNING_RATE", 3e-3)
    generator = create(NAME, {**TINY, "steps": 100})
    assert isinstance(generator, Diffusion)
    generator.fit(scans, tmp_path / NAME, seed=1)
    body = read_squares(scans, 16).float().mean(0)[0].numpy() / 255
    shown = functional.interpolate(
        torch.from_numpy(generator.sample(range(8)))[:, None], size=16, mode="area"
    )

    likeness = [np.corrcoef(body.ravel(), image.ravel())[0, 1] for image in shown.numpy()]

    assert np.mean(likeness) > 0.5


@pytest.mark.parametrize("side", [32, 256])
def test_levels_go_from_hardly_any_noise_to_hardly_anything_else(side: int) -> None:
    generator = create(NAME, {**TINY, "side": side})
    assert isinstance(generator, Diffusion)

    image_power = generator.sampler.alphas_cumprod

    assert image_power.diff().max() <= 0
    assert image_power[0].item() == pytest.approx(1, abs=1e-3)
    assert image_power[-1].item() == pytest.approx(0, abs=1e-4)


def test_large_images_see_more_noise_than_small_ones() -> None:
    small, large = (create(NAME, {**TINY, "side": side}) for side in (64, 256))
    assert isinstance(small, Diffusion)
    assert isinstance(large, Diffusion)

    middle = len(small.sampler.alphas_cumprod) // 2

    assert small.sampler.alphas_cumprod[middle].item() == pytest.approx(0.5, abs=0.01)
    assert large.sampler.alphas_cumprod[middle].item() == pytest.approx(1 / 17, abs=0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"output_side": 64, "width": 12},
        {"output_side": 64, "side": 20, "multiples": [1, 2, 2, 4]},
        {"output_side": 64, "multiples": []},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'diffusion': "):
        create(NAME, arguments)
