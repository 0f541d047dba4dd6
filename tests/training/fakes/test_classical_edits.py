from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import SIDE, make_lung, stored
from training.data.images import read_grey, write_grey
from training.errors import GeneratorError
from training.fakes.base import Generator, create
from training.fakes.classical_tools import TOOLS

NAME = "classical_edits"
TINY = TINY_ARGUMENTS[NAME]


def with_kinds(scans: list[Path], folder: Path, *kinds: str, **more: Any) -> Generator:
    return fitted(NAME, {**TINY, "kinds": kinds or tuple(TOOLS), **more}, scans, folder)


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("margins", [0.0, 1.0])
def test_an_edit_changes_the_scan_within_its_mask_and_nowhere_else(
    kind: str, margins: float, scans: list[Path], tmp_path: Path
) -> None:
    generator = with_kinds(scans, tmp_path / NAME, kind, margins=margins)
    for seed in range(10):
        original = stored(make_lung(seed))
        fake = made(generator, seed=seed, scan=seed)
        assert fake.mask is not None
        assert fake.mask.dtype == np.bool_
        assert fake.mask.shape == original.shape
        assert fake.tamper == kind
        assert np.array_equal(fake.grey[~fake.mask], original[~fake.mask])
        changed = np.abs(fake.grey - original) > 1 / 255
        assert changed[fake.mask].mean() > 0.3
        assert np.abs(fake.grey - original).max() > 0.06


def test_the_centre_is_column_and_row_of_the_mask(scans: list[Path], tmp_path: Path) -> None:
    generator = with_kinds(scans, tmp_path / NAME)
    for seed in range(10):
        fake = made(generator, seed=seed, scan=seed)
        assert fake.mask is not None
        rows, columns = np.nonzero(fake.mask)
        assert fake.center is not None
        assert fake.center == pytest.approx((columns.mean(), rows.mean()), abs=0.51)


def test_all_kinds_are_drawn_and_sizes_stay_within_their_bounds(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = with_kinds(scans, tmp_path / NAME)
    fakes = [made(generator, seed=seed, scan=seed % 4) for seed in range(40)]

    assert {fake.tamper for fake in fakes} == set(TOOLS)
    for fake in fakes:
        assert fake.mask is not None
        for axis in (0, 1):
            assert fake.mask.any(axis).sum() <= TINY["max_side"]


def test_the_original_is_left_as_it_was(scans: list[Path], tmp_path: Path) -> None:
    generator, original = with_kinds(scans, tmp_path / NAME), make_lung(0)

    for seed in range(8):
        generator.make(original, seed=seed)

    assert np.array_equal(original, make_lung(0))


def test_a_knee_is_edited_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    knee = np.full((SIDE, SIDE), 0.2)
    knee[:44, 20:76] = knee[50:, 20:76] = 0.8
    knee = np.clip(knee + rng.normal(0, 0.02, knee.shape), 0, 1)
    write_grey(tmp_path / "knee.png", knee.astype(np.float32))
    generator = fitted(
        NAME, {**TINY, "sites": "knee", "margins": 0.7}, [tmp_path / "knee.png"], tmp_path / NAME
    )

    fakes = [generator.make(read_grey(tmp_path / "knee.png"), seed=seed) for seed in range(20)]

    assert sum(fake is not None for fake in fakes) > 15


def test_a_scan_without_a_place_for_an_edit_gives_no_fake(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = with_kinds(scans, tmp_path / NAME)

    assert generator.make(np.zeros((SIDE, SIDE), dtype=np.float32), seed=1) is None


def test_without_donors_nothing_is_spliced(tmp_path: Path) -> None:
    generator = with_kinds([], tmp_path / NAME, "splice")

    assert generator.make(make_lung(0), seed=1) is None


def test_an_edit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an authentic scan"):
        create(NAME, TINY).make(None, seed=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sites": "liver"},
        {"sites": "lung", "kinds": ["smudging"]},
        {"sites": "lung", "kinds": []},
        {"sites": "lung", "min_side": 30, "max_side": 20},
        {"sites": "lung", "min_side": 4},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'classical_edits': "):
        create(NAME, arguments)
