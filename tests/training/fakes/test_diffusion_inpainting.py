from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import make_lung, stored
from training.errors import GeneratorError
from training.fakes import diffusion_inpainting
from training.fakes.base import create
from training.fakes.diffusion_inpainting import PATCH_SIDE, ROUGH_TOOLS

NAME = "diffusion_inpainting"
TINY = TINY_ARGUMENTS[NAME]
ROUGH = {"sites": "lung", "min_side": 12, "max_side": 16, "kinds": ROUGH_TOOLS}


def test_an_edit_changes_its_region_and_nothing_far_from_it(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)
    original = stored(make_lung(0))

    fake = made(generator)

    assert fake.mask is not None
    assert fake.center is not None
    assert fake.tamper in ("copy_move", "healing", "inpainting")
    changed = np.argwhere(fake.grey != original)
    assert np.abs(changed - np.array(fake.center[::-1])).max() < PATCH_SIDE
    assert fake.drawn_side is None


@pytest.mark.parametrize("seed", [5, 6])
def test_the_more_noise_the_less_is_left_of_what_an_editor_put_there(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rough = create("classical_edits", ROUGH).make(stored(make_lung(0)), seed=seed)
    assert rough is not None
    assert rough.mask is not None

    far = []
    for share in (0.01, 0.5):
        monkeypatch.setattr(diffusion_inpainting, "NOISE", (share, share))
        fake = made(fitted(NAME, TINY, scans, tmp_path / str(share)), seed=seed)
        assert fake.mask is not None
        assert np.array_equal(fake.mask, rough.mask)
        inside = ndimage.binary_erosion(fake.mask, iterations=3)
        far.append(np.abs(fake.grey - rough.grey)[inside].mean())

    assert far[0] < 0.5 * far[1]


def test_a_scan_smaller_than_a_patch_is_left_alone(scans: list[Path], tmp_path: Path) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)

    assert generator.make(stored(make_lung(0))[:30], seed=1) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"sites": "heart"},
        {"edit_sides": [20, 50]},
        {"edit_sides": [20, 12]},
        {"edit_sides": [20]},
        {"width": 7},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'diffusion_inpainting': "):
        create(NAME, {**TINY, **arguments})
