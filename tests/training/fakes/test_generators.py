"""What is refused of generators, and what learned local edits have to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.lab import SIDE, TINY_DCGAN, TINY_INPAINTING, make_lung, stored
from training.errors import GeneratorError
from training.fakes import base
from training.fakes.base import Fake, Generator, create, generators, register

TINY: Mapping[str, Mapping[str, Any]] = {"dcgan": TINY_DCGAN, "inpainting_gan": TINY_INPAINTING}


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


# --- local edits ----------------------------------------------------------------------------

LOCAL = [name for name in TINY if generators()[name].edits_originals]


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
    with pytest.raises(GeneratorError, match=r"no generator 'stylegan'.*dcgan, .*inpainting_gan"):
        create("stylegan", {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dcgan", {}),
        ("dcgan", {"output_side": 64, "size": 3}),
        ("dcgan", {"output_side": 64, "side": 48}),
        ("dcgan", {"output_side": 64, "side": 4}),
        ("dcgan", {"output_side": 64, "epochs": -4}),
        ("dcgan", {"output_side": 64, "width": "8"}),
        ("dcgan", {"output_side": 64, "batch_size": 0}),
        ("dcgan", {"output_side": True}),
        ("classical_edits", {"sites": "knee", "margins": "half"}),
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
