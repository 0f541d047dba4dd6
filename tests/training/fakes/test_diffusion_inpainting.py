from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import make_lung, stored
from training.data.images import write_grey
from training.errors import GeneratorError, TooFewScansError
from training.fakes import diffusion_inpainting
from training.fakes.base import create
from training.fakes.diffusion_inpainting import ROUGH_TOOLS, _window_within

NAME = "diffusion_inpainting"
TINY = TINY_ARGUMENTS[NAME]
ROUGH = {"sites": "lung", "min_side": 12, "max_side": 16, "kinds": ROUGH_TOOLS}


SOFT_RIM = 4  # pixels: where the Gaussian that softens an edit has ended


def test_an_edit_changes_its_region_and_nothing_far_from_it(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)
    original = stored(make_lung(0))

    fake = made(generator)

    assert fake.mask is not None
    assert fake.tamper in ("copy_move", "healing", "inpainting")
    changed = fake.grey != original
    near = ndimage.maximum_filter(fake.mask, 2 * SOFT_RIM + 1)
    assert changed[fake.mask].mean() > 0.9
    assert not changed[~near].any()
    assert fake.drawn_side is None


@pytest.mark.parametrize("place", [(0, 0), (0, 89), (69, 0), (69, 89), (40, 50)])
def test_the_window_around_a_place_lies_within_the_scan(place: tuple[int, int]) -> None:
    marked = np.zeros((70, 90))
    marked[place] = 1

    window = marked[_window_within(place, 64, marked.shape)]

    assert window.shape == (64, 64)
    assert window.sum() == 1


def test_a_scan_of_the_size_of_a_patch_is_edited(scans: list[Path], tmp_path: Path) -> None:
    generator = fitted(NAME, TINY, scans, tmp_path / NAME)
    small = stored(make_lung(0, 64))

    fakes = [generator.make(small, seed=seed) for seed in range(20)]

    assert any(fake is not None for fake in fakes)


def test_scans_that_offer_no_place_are_passed_over(scans: list[Path], tmp_path: Path) -> None:
    dark = tmp_path / "dark.png"
    write_grey(dark, np.zeros((96, 96), dtype=np.float32))

    fitted(NAME, TINY, [dark, *scans], tmp_path / "some")
    with pytest.raises(TooFewScansError, match="offers a place"):
        fitted(NAME, TINY, [dark], tmp_path / "none")


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
        {"edit_sides": [0, 20]},
        {"margins": 7.0},
        {"margins": float("nan")},
        {"width": 7},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'diffusion_inpainting': "):
        create(NAME, {**TINY, **arguments})
