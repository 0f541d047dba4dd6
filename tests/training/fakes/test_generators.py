"""What every generator has to do, tried on each that is registered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.lab import SIDE, TINY_DCGAN, TINY_INPAINTING, make_lung, stored, write_reals
from training.errors import GeneratorError
from training.fakes import base
from training.fakes.base import Fake, Generator, create, generators, register
from training.fakes.checkpoints import CHECKPOINT_NAME

TINY: Mapping[str, Mapping[str, Any]] = {"dcgan": TINY_DCGAN, "inpainting_gan": TINY_INPAINTING}
LONGER: Mapping[str, Mapping[str, Any]] = {"dcgan": {"epochs": 3}, "inpainting_gan": {"steps": 5}}
"""What makes a training longer than ``TINY``, which counts as the stopped one."""


def new(name: str, **more: Any) -> Generator:
    torch.manual_seed(0)
    return create(name, {**TINY[name], **more})


def fitted(name: str, scans: list[Path], folder: Path, *, seed: int = 1, **more: Any) -> Generator:
    generator = new(name, **more)
    generator.fit(scans, folder, seed=seed)
    return generator


def made(generator: Generator, *, seed: int = 5, scan: int = 0) -> Fake:
    original = stored(make_lung(scan)) if generator.edits_originals else None
    fake = generator.make(original, seed=seed)
    assert fake is not None
    return fake


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    return [scan.path for scan in write_reals(tmp_path / "scans", 4)]


def test_every_generator_is_tried_here() -> None:
    assert set(generators()) == set(TINY) == set(LONGER)


@pytest.mark.parametrize("name", TINY)
def test_a_fake_is_a_scan(name: str, scans: list[Path], tmp_path: Path) -> None:
    fake = made(fitted(name, scans, tmp_path / name))

    assert fake.grey.shape == (SIDE, SIDE)
    assert fake.grey.dtype == np.float32
    assert 0 <= fake.grey.min() < fake.grey.max() <= 1


@pytest.mark.parametrize("name", TINY)
def test_the_same_seed_gives_the_same_fake_and_another_another(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, scans, tmp_path / name)
    first = made(generator, seed=5)

    made(generator, seed=6)  # the order does not matter

    assert np.array_equal(made(generator, seed=5).grey, first.grey)
    assert not np.array_equal(made(generator, seed=6).grey, first.grey)


@pytest.mark.parametrize("name", TINY)
def test_a_finished_training_is_loaded_and_not_repeated(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    before = made(fitted(name, scans, tmp_path / name))
    checkpoints = {p: p.stat().st_mtime_ns for p in (tmp_path / name).rglob(CHECKPOINT_NAME)}
    torch.manual_seed(99)
    again = create(name, TINY[name])

    again.fit([], tmp_path / name, seed=1)

    assert np.array_equal(made(again).grey, before.grey)
    assert checkpoints
    assert all(path.stat().st_mtime_ns == time for path, time in checkpoints.items())


@pytest.mark.parametrize("name", TINY)
def test_a_stopped_training_ends_as_one_that_was_never_stopped(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    uninterrupted = fitted(name, scans, tmp_path / "whole", **LONGER[name])
    fitted(name, scans, tmp_path / "parts")

    resumed = fitted(name, scans, tmp_path / "parts", **LONGER[name])

    assert made(resumed).grey == pytest.approx(made(uninterrupted).grey, abs=1e-6)
    shorter = fitted(name, scans, tmp_path / "short")
    assert not np.allclose(made(shorter).grey, made(uninterrupted).grey, atol=1e-6)


@pytest.mark.parametrize("name", TINY)
def test_another_seed_learns_another_generator(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    one = fitted(name, scans, tmp_path / "one", seed=1)
    other = fitted(name, scans, tmp_path / "other", seed=2)

    assert not np.array_equal(made(one).grey, made(other).grey)


# --- local edits ----------------------------------------------------------------------------

LOCAL = [name for name in TINY if generators()[name].edits_originals]
WHOLE = [name for name in TINY if not generators()[name].edits_originals]


@pytest.mark.parametrize("name", WHOLE)
def test_a_synthetic_scan_has_no_mask(name: str, scans: list[Path], tmp_path: Path) -> None:
    fake = made(fitted(name, scans, tmp_path / name))

    assert fake.mask is None
    assert fake.center is None
    assert fake.tamper == ""


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_edit_changes_the_scan_around_its_mask_only(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, scans, tmp_path / name)
    for seed in range(12):
        original = stored(make_lung(seed))
        fake = made(generator, seed=seed, scan=seed)
        assert fake.mask is not None
        rows, columns = np.nonzero(fake.mask)
        # The edit fades out at the rim of its region, a few pixels outside the mask.
        near = np.zeros_like(fake.mask)
        near[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = True
        assert np.array_equal(fake.grey[~near], original[~near])
        changed = np.abs(fake.grey - original) > 1 / 255
        assert changed[fake.mask].mean() > 0.3


@pytest.mark.parametrize("name", LOCAL)
def test_the_centre_of_a_local_edit_is_column_and_row_of_its_mask(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, scans, tmp_path / name)
    for seed in range(12):
        fake = made(generator, seed=seed, scan=seed)
        assert fake.mask is not None
        rows, columns = np.nonzero(fake.mask)
        assert fake.center is not None
        assert np.abs(np.subtract(fake.center, (columns.mean(), rows.mean()))).max() <= 1
        assert fake.mask.dtype == np.bool_


@pytest.mark.parametrize("name", LOCAL)
def test_edits_put_in_and_take_away(name: str, scans: list[Path], tmp_path: Path) -> None:
    generator = fitted(name, scans, tmp_path / name)

    assert {made(generator, seed=seed).tamper for seed in range(12)} == {"injection", "removal"}


@pytest.mark.parametrize("name", LOCAL)
def test_the_original_is_left_as_it_was(name: str, scans: list[Path], tmp_path: Path) -> None:
    generator, original = fitted(name, scans, tmp_path / name), make_lung(0)

    generator.make(original, seed=1)

    assert np.array_equal(original, make_lung(0))


@pytest.mark.parametrize("name", LOCAL)
def test_a_scan_without_a_place_for_an_edit_gives_no_fake(
    name: str, scans: list[Path], tmp_path: Path
) -> None:
    generator = fitted(name, scans, tmp_path / name)

    assert generator.make(np.zeros((SIDE, SIDE), dtype=np.float32), seed=1) is None


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_edit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="needs an authentic scan"):
        new(name).make(None, seed=1)


# --- the registry ---------------------------------------------------------------------------


def test_an_unknown_generator_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(GeneratorError, match=r"no generator 'stylegan'.*dcgan, inpainting_gan"):
        create("stylegan", {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dcgan", {}),
        ("dcgan", {"output_side": 64, "size": 3}),
        ("dcgan", {"output_side": 64, "side": 48}),
        ("dcgan", {"output_side": 64, "side": 4}),
        ("inpainting_gan", {"sites": "liver"}),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match=f"Generator '{name}': "):
        create(name, arguments)


def test_a_name_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_generators", dict(generators()))

    with pytest.raises(GeneratorError, match="'dcgan' is registered twice"):
        register("dcgan")(generators()["dcgan"])
