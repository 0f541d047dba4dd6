from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.fakes.contract import TINY_ARGUMENTS
from training.errors import GeneratorError
from training.fakes import denoiser
from training.fakes.base import create
from training.fakes.diffusion import Diffusion
from training.fakes.squares import read_squares

NAME = "diffusion"
TINY = TINY_ARGUMENTS[NAME]


def test_it_learns_to_tell_noise_from_image(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "LEARNING_RATE", 3e-3)
    generator = create(NAME, {**TINY, "steps": 100})
    assert isinstance(generator, Diffusion)
    generator.fit(scans, tmp_path / NAME, seed=1)
    body = read_squares(scans, 16).float().mean(0)[0].numpy() / 255
    shown = functional.interpolate(
        torch.from_numpy(generator.sample(range(8)))[:, None], size=16, mode="area"
    )

    likeness = [np.corrcoef(body.ravel(), image.ravel())[0, 1] for image in shown.numpy()]

    assert np.mean(likeness) > 0.5


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
