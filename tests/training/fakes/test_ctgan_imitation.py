from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.fakes.contract import TINY_ARGUMENTS, fitted, made
from tests.training.lab import SIDE, make_lung, stored
from training.errors import GeneratorError
from training.fakes import ctgan_imitation
from training.fakes.base import Generator, create
from training.fakes.ctgan.hounsfield import LUNG_HU, SOFT_TISSUE_HU, Hounsfield
from training.fakes.ctgan.nodules import nodule, sketch_of
from training.fakes.ctgan.painters import (
    CUBE_SIDE,
    HOLE_SIDE,
    CubePainter,
    Lessons,
    Snapshots,
    condition,
)
from training.fakes.ctgan_imitation import CTGANImitation
from training.fakes.sites import lung_mask

NAME = "ctgan_imitation"
TINY = TINY_ARGUMENTS[NAME]


@pytest.fixture
def generator(scans: list[Path], tmp_path: Path) -> Generator:
    return fitted(NAME, TINY, scans, tmp_path / NAME)


def only(monkeypatch: pytest.MonkeyPatch, tamper: str) -> None:
    monkeypatch.setattr(ctgan_imitation, "TAMPERS", (tamper,))


def test_findings_are_put_in_and_taken_away(generator: Generator) -> None:
    assert {made(generator, seed=seed).tamper for seed in range(12)} == {"injection", "removal"}


def test_an_injection_never_darkens_the_scan(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "injection")
    for seed in range(8):
        fake = made(generator, seed=seed, scan=seed)
        assert (fake.grey >= stored(make_lung(seed)) - 1e-6).all()


@pytest.mark.parametrize("tamper", ["injection", "removal"])
def test_an_edit_changes_its_region_visibly_and_nothing_far_from_it(
    tamper: str, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, tamper)
    for seed in range(8):
        original = stored(make_lung(seed))
        fake = made(generator, seed=seed, scan=seed)
        assert fake.mask is not None
        assert fake.center is not None
        rows, columns = np.mgrid[:SIDE, :SIDE]
        far = np.maximum(abs(columns - fake.center[0]), abs(rows - fake.center[1])) > 15
        assert np.array_equal(fake.grey[far], original[far])
        assert np.abs(fake.grey - original)[fake.mask].mean() * 255 >= 1.2


def test_edits_of_one_scan_differ_in_place(generator: Generator) -> None:
    centers = {made(generator, seed=seed).center for seed in range(10)}

    assert len(centers) > 5


def test_the_original_is_left_as_it_was(generator: Generator) -> None:
    original = make_lung(0)

    for seed in range(4):
        generator.make(original, seed=seed)

    assert np.array_equal(original, make_lung(0))


@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_a_scan_without_lungs_gives_no_fake(grey: float, generator: Generator) -> None:
    assert generator.make(np.full((SIDE, SIDE), grey, dtype=np.float32), seed=1) is None


def test_an_edit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an authentic scan"):
        create(NAME, TINY).make(None, seed=1)


@pytest.mark.parametrize(
    "arguments",
    [{"spacings": [0.9, 0.5]}, {"spacings": [0.1, 0.5]}, {"spacings": [0.5]}, {"steps": 0}],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'ctgan_imitation': "):
        create(NAME, arguments)


def test_a_training_shorter_than_a_snapshot_takes_one_at_its_end(
    scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(NAME, {**TINY, "steps": 1, "snapshot_every": 50}, scans, tmp_path / NAME)

    assert isinstance(generator, CTGANImitation)
    assert {tamper: len(p) for tamper, p in generator.painters.items()} == {
        "injection": 1,
        "removal": 1,
    }


# --- painters -------------------------------------------------------------------------------


def test_a_painter_sees_what_is_around_the_hole_and_not_what_is_in_it() -> None:
    painter = CubePainter(4).eval()
    patches, sketches = torch.randn(2, 1, CUBE_SIDE, CUBE_SIDE), torch.zeros(2, 1, 32, 32)
    hole = slice(6, 6 + HOLE_SIDE)
    inside, outside = patches.clone(), patches.clone()
    inside[..., hole, hole] += 1
    outside[..., :5, :] += 1

    before = painter(condition(patches, sketches))

    assert before.shape == patches.shape
    assert torch.equal(painter(condition(inside, sketches)), before)
    assert not torch.equal(painter(condition(outside, sketches)), before)


def test_a_snapshot_stays_as_it_was_when_training_goes_on() -> None:
    painter, snapshots = CubePainter(4).eval(), Snapshots()
    conditions = torch.randn(1, 2, CUBE_SIDE, CUBE_SIDE)
    before = painter(conditions).detach()
    snapshots.take(painter)
    with torch.no_grad():
        for parameter in painter.parameters():
            parameter.add_(1)

    restored = Snapshots()
    restored.load_state_dict(snapshots.state_dict())

    assert restored.painters(4)[0](conditions).detach() == pytest.approx(before, abs=1e-2)


def test_patches_and_their_sketches_are_turned_together() -> None:
    patches = torch.randn(3, 1, CUBE_SIDE, CUBE_SIDE)
    lessons = Lessons(patches=patches, sketches=patches * 2)

    for seed in range(6):
        some, sketches = lessons.some(4, np.random.default_rng(seed))
        assert torch.equal(sketches, some * 2)


# --- nodules and Hounsfield units -----------------------------------------------------------


def test_nodules_lie_in_the_middle_and_differ() -> None:
    sizes = []
    for seed in range(30):
        shares = nodule(HOLE_SIDE, np.random.default_rng(seed))
        assert shares.shape == (HOLE_SIDE, HOLE_SIDE)
        assert shares.min() >= 0
        assert shares.max() <= 1
        assert shares[8:12, 8:12].max() > 0.5
        assert sketch_of(shares).max() <= shares.max()
        sizes.append(float(shares.sum()))
    assert max(sizes) > 4 * min(sizes)


@pytest.mark.parametrize(("level", "width"), [(-600.0, 1500.0), (-400.0, 3000.0)])
def test_hounsfield_units_are_found_whatever_the_window(level: float, width: float) -> None:
    lungs = lung_mask(make_lung(0))
    units = np.where(lungs, LUNG_HU, np.where(make_lung(0) > 0.5, SOFT_TISSUE_HU, -1000.0))
    grey = np.clip((units - (level - width / 2)) / width, 0, 1).astype(np.float32)

    scale = Hounsfield.of(grey, lungs)

    assert scale is not None
    inside = grey > 0
    assert scale.units(grey)[inside] == pytest.approx(units[inside], abs=1)
    assert scale.grey(scale.units(grey)) == pytest.approx(grey, abs=1e-4)


def test_what_is_all_of_one_grey_has_no_scale() -> None:
    grey = np.full((SIDE, SIDE), 0.5, dtype=np.float32)

    assert Hounsfield.of(grey, np.zeros_like(grey, dtype=bool)) is None
    assert Hounsfield.of(grey, grey > 0.4) is None
