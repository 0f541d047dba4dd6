from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.training.lab import NO_AUGMENTATION, make_lung
from training.config import AugmentationConfig
from training.data.augment import jpeg_round_trip, resampled, vary_appearance
from training.seeding import generator_for

OPERATIONS = ("window", "resample", "blur", "noise", "jpeg")


def always(*operations: str) -> AugmentationConfig:
    """Return a config with these operations on every scan and no others."""
    probabilities: dict[str, Any] = dict.fromkeys(operations, 1.0)
    return replace(NO_AUGMENTATION, **probabilities)


ALWAYS = always(*OPERATIONS)


def varied(
    config: AugmentationConfig, seed: object = 0, *, keep_detail: bool = False, side: int = 64
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    grey = make_lung(1, side)
    return vary_appearance(grey, generator_for("test", seed), config, keep_detail=keep_detail)


@pytest.mark.parametrize("seed", range(20))
def test_a_variation_keeps_shape_type_and_range(seed: int) -> None:
    grey = varied(ALWAYS, seed)

    assert grey.shape == (64, 64)
    assert grey.dtype == np.float32
    assert 0 <= grey.min() <= grey.max() <= 1


def test_the_same_state_gives_the_same_variation() -> None:
    assert np.array_equal(varied(ALWAYS, 5), varied(ALWAYS, 5))
    assert not np.array_equal(varied(ALWAYS, 5), varied(ALWAYS, 6))


def test_nothing_is_varied_where_everything_is_off() -> None:
    assert np.array_equal(varied(NO_AUGMENTATION), make_lung(1, 64))


def test_the_scan_that_is_varied_stays_as_it_was() -> None:
    grey = make_lung(1, 64)

    vary_appearance(grey, generator_for("test"), ALWAYS, keep_detail=True)

    assert np.array_equal(grey, make_lung(1, 64))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_alone_changes_the_scan(operation: str) -> None:
    grey = varied(always(operation))

    assert not np.array_equal(grey, make_lung(1, 64))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_switching_an_operation_on_does_not_change_the_draws_of_the_others(operation: str) -> None:
    rng, other = generator_for("test"), generator_for("test")

    vary_appearance(make_lung(), rng, NO_AUGMENTATION, keep_detail=False)
    vary_appearance(make_lung(), other, always(operation), keep_detail=False)

    assert rng.random() == other.random()


def test_a_probability_is_the_share_of_scans_that_are_varied() -> None:
    config = replace(NO_AUGMENTATION, noise=0.3)
    original = make_lung(1, 16)

    changed = [not np.array_equal(varied(config, seed, side=16), original) for seed in range(400)]

    assert np.mean(changed) == pytest.approx(0.3, abs=0.07)


def test_a_scan_is_resampled_to_at_least_the_least_share() -> None:
    """Half the resolution leaves blocks of four pixels; a twentieth of it wipes them out."""
    board = (np.indices((16, 16)).sum(0) % 2).astype(np.float32)
    blocks = np.kron(board, np.ones((4, 4), dtype=np.float32))
    config = replace(NO_AUGMENTATION, resample=1.0, min_resolution=0.05)

    contrast = {
        keep_detail: min(
            float(
                vary_appearance(
                    blocks, generator_for("test", seed), config, keep_detail=keep_detail
                ).std()
            )
            for seed in range(20)
        )
        for keep_detail in (True, False)
    }

    assert blocks.std() == 0.5
    assert contrast[True] > 0.15
    assert contrast[False] < 0.05


@pytest.mark.parametrize("smooth", [True, False])
def test_resampling_to_the_whole_resolution_changes_nothing(smooth: bool) -> None:
    grey = make_lung(2, 48)

    assert resampled(grey, 1.0, smooth=smooth) == pytest.approx(grey, abs=1e-6)


def test_a_mirrored_scan_is_resampled_as_well() -> None:
    grey = make_lung(2, 48)

    assert resampled(grey[:, ::-1], 0.5)[:, ::-1] == pytest.approx(resampled(grey, 0.5), abs=1e-6)


def test_resampling_keeps_the_mean() -> None:
    grey = make_lung(2, 48)

    assert resampled(grey, 0.25).mean() == pytest.approx(grey.mean(), abs=0.01)


def test_jpeg_leaves_more_the_higher_the_quality() -> None:
    grey = make_lung(3)

    errors = [np.abs(jpeg_round_trip(grey, quality=q) - grey).mean() for q in (98, 75, 50)]

    assert 0 < errors[0] < errors[1] < errors[2] < 0.05


def test_the_strongest_blur_and_sharpening_go_opposite_ways() -> None:
    detail = {}
    original = np.diff(make_lung(1, 64)).std()
    for seed in range(40):
        config = replace(NO_AUGMENTATION, blur=1.0)
        detail[seed] = np.diff(varied(config, seed)).std() / original

    assert min(detail.values()) < 0.8
    assert max(detail.values()) > 1.2
