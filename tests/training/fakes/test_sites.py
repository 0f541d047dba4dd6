from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.lab import make_lung
from training.fakes.sites import SITE_FINDERS, Sites, lung_mask, lung_sites, otsu_threshold

Finder = Callable[[NDArray[np.float32]], Sites]
SPOT = (50, 26)


def lung_with_one_spot() -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:96, 0:96]
    grey = np.full((96, 96), 0.05)
    grey[(rows - 48) ** 2 + (columns - 48) ** 2 < 44**2] = 0.75
    for column in (26, 70):
        grey[((rows - 48) / 28) ** 2 + ((columns - column) / 15) ** 2 < 1] = 0.25
    grey[(rows - SPOT[0]) ** 2 + (columns - SPOT[1]) ** 2 < 3**2] = 0.6
    noise = np.random.default_rng(0).normal(0, 0.02, grey.shape)
    return np.clip(grey + noise, 0, 1).astype(np.float32)


def test_the_lungs_are_found() -> None:
    lungs = lung_mask(lung_with_one_spot())

    assert lungs[48, 20]
    assert lungs[48, 70]
    assert not lungs[48, 48]  # between them
    assert not lungs[2, 2]  # the air outside the body
    assert not lungs[8, 48]  # the wall of the chest
    assert lungs.mean() == pytest.approx(2 * np.pi * 28 * 15 / 96**2, abs=0.05)


def test_a_nodule_is_a_structure_and_no_place_to_put_another() -> None:
    sites = lung_sites(lung_with_one_spot())

    assert np.abs(sites.structures - np.array(SPOT)).sum(1).min() <= 1
    assert np.abs(sites.plain - np.array(SPOT)).max(1).min() >= 1


def test_sites_lie_within_the_lungs() -> None:
    for seed in range(5):
        grey = make_lung(seed)
        sites, lungs = lung_sites(grey), lung_mask(grey)
        assert len(sites.structures) > 0
        assert len(sites.plain) > 100
        for points in (sites.structures, sites.plain):
            assert lungs[tuple(points.T)].all()


def test_the_margins_of_a_knee_are_structures_and_its_inside_is_plain() -> None:
    knee = np.full((100, 80), 0.2, dtype=np.float32)
    knee[:48, 20:60] = 0.8
    knee[52:, 20:60] = 0.8

    sites = SITE_FINDERS["knee"](knee)

    edge_distance = np.minimum(
        np.abs(sites.structures[:, 1] - 19.5), np.abs(sites.structures[:, 1] - 59.5)
    )
    joint_distance = np.abs(sites.structures[:, 0] - 49.5)
    assert np.minimum(edge_distance, joint_distance).max() < 8
    assert sites.structures[:, 0].min() >= 25
    assert sites.structures[:, 0].max() < 75
    assert len(sites.plain) > 0


@pytest.mark.parametrize("finder", SITE_FINDERS.values(), ids=SITE_FINDERS)
@pytest.mark.parametrize("shape", [(96, 96), (64, 120)])
def test_sites_are_rows_and_columns_of_the_scan(finder: Finder, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    sites = finder(rng.random(shape, dtype=np.float32))

    for points in (sites.structures, sites.plain):
        assert points.shape[1] == 2
        assert (points >= 0).all()
        assert (points < np.array(shape)).all()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_blank_scan_has_no_lungs(value: float) -> None:
    sites = lung_sites(np.full((96, 96), value, dtype=np.float32))

    assert len(sites.structures) == len(sites.plain) == 0


def test_the_threshold_lies_between_two_levels() -> None:
    grey = np.array([[0.2, 0.25], [0.8, 0.85]], dtype=np.float32)

    assert 0.25 <= otsu_threshold(grey) <= 0.8
