import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.lab import make_lung, stored
from training.data.augment import resampled
from training.errors import GeneratorError
from training.fakes import super_resolution
from training.fakes.base import create
from training.fakes.super_resolution import NETWORKS, WAIFU2X, Published

NAME = "super_resolution"
LUNG = stored(make_lung(0))


@pytest.mark.parametrize("network", NETWORKS)
def test_each_network_draws_the_scan_and_not_another(network: str) -> None:
    fake = create(NAME, {"networks": [network]}).make(LUNG, seed=3)

    assert fake is not None
    assert fake.tamper == network
    likeness = np.corrcoef(fake.grey.ravel(), LUNG.ravel())[0, 1]
    assert 0.9 < likeness < 0.9999


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_drawn_lies_where_it_was(network: str) -> None:
    """A bright square must not move by a pixel: a shift would tell every fake."""
    scan = np.zeros((96, 96), dtype=np.float32)
    scan[40:56, 24:40] = 0.8

    for seed in range(4):
        fake = create(NAME, {"networks": [network]}).make(scan, seed=seed)
        assert fake is not None
        weights = np.where(fake.grey > 0.2, fake.grey, 0)
        center = [np.average(axis, weights=weights) for axis in np.indices(scan.shape)]
        assert center == pytest.approx([47.5, 31.5], abs=0.3)


def test_a_network_draws_sharper_than_scaling_does() -> None:
    scan = np.full((64, 64), 0.2, dtype=np.float32)
    scan[:, 32:] = 0.7
    generator = create(NAME, {"networks": ["waifu2x_cunet"]})

    fake = next(f for s in range(9) if (f := generator.make(scan, seed=s)) and f.drawn_side == 32)

    steepest, scaled = (np.abs(np.diff(x, axis=1)).max() for x in (fake.grey, resampled(scan, 0.5)))
    assert steepest > 1.2 * scaled


def test_scans_of_any_shape_keep_it() -> None:
    generator = create(NAME, {})
    for number, shape in enumerate([(61, 47), (97, 66), (64, 130)]):
        scan = np.random.default_rng(number).random(shape, dtype=np.float32)
        for seed in range(3):
            fake = generator.make(scan, seed=seed)
            assert fake is None or fake.grey.shape == shape


def test_the_side_of_the_small_scan_is_said() -> None:
    generator = create(NAME, {"networks": ["waifu2x_upconv"]})

    sides = [f.drawn_side for s in range(12) if (f := generator.make(LUNG, seed=s))]

    assert LUNG.shape[0] // 2 in sides
    assert len(set(sides)) > 3
    assert all(side and LUNG.shape[0] / 2 <= side <= LUNG.shape[0] / 1.5 + 1 for side in sides)


def test_of_a_scan_that_is_no_square_the_longer_side_is_said() -> None:
    oblong = np.random.default_rng(1).random((64, 128), dtype=np.float32)
    generator = create(NAME, {"networks": ["waifu2x_upconv"]})

    sides = [f.drawn_side for s in range(8) if (f := generator.make(oblong, seed=s))]

    assert all(side and side >= 64 for side in sides)


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "damaged_package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    for suffix in (".param", ".bin"):
        (package / "models" / f"cut{suffix}").write_text("7767517\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(NETWORKS, "cut", Published("damaged_package", "cut", 2))
    generator = create(NAME, {"networks": ["cut"]})

    with pytest.raises(GeneratorError, match=r"The weights .*cut are damaged"):
        generator.make(LUNG, seed=1)


def test_a_scan_that_would_become_too_small_is_passed_over() -> None:
    generator = create(NAME, {"networks": ["real_esrgan_compact"]})

    assert generator.make(np.zeros((20, 20), dtype=np.float32), seed=1) is None


def test_weights_that_are_not_installed_are_named_before_any_scan_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {
        "no_package": Published("no_such_package", "some-model", 2),
        "no_file": Published(WAIFU2X, "no-such-model", 2),
    }
    monkeypatch.setattr(super_resolution, "NETWORKS", absent)
    for name, network in absent.items():
        generator = create(NAME, {"networks": [name]})
        message = f"{network.files} of the package {network.package}, or ncnn to run them, are not"
        with pytest.raises(GeneratorError, match=re.escape(message)):
            generator.fit([], tmp_path, seed=1)


@pytest.mark.parametrize("arguments", [{"networks": []}, {"networks": ["esrgan"]}])
def test_networks_that_do_not_exist_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="networks must be among real_esrgan, "):
        create(NAME, arguments)
