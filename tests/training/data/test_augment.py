from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.training.lab import NO_AUGMENTATION, make_lung
from training.config import AugmentationConfig
from training.data.augment import (
    Placement,
    denoised,
    draw_placement,
    jpeg_round_trip,
    resampled,
    vary_appearance,
)
from training.seeding import generator_for

OPERATIONS = (
    "window",
    "local_contrast",
    "denoised",
    "resample",
    "blur",
    "noise",
    "jpeg",
    "inverted",
)


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


def test_raising_local_contrast_leaves_even_regions_as_they_are_and_raises_detail() -> None:
    stripes = np.full((64, 64), 0.5, dtype=np.float32)
    stripes[:, 32::4] = 0.6

    raised = vary_appearance(
        stripes, generator_for("test"), always("local_contrast"), keep_detail=False
    )

    assert raised[:, :8] == pytest.approx(0.5, abs=0.01)
    assert np.ptp(raised[:, 48:56]) > 1.05 * np.ptp(stripes[:, 48:56])


def test_taking_grain_away_keeps_edges() -> None:
    grain = generator_for("grain").normal(0, 0.01, (64, 64))
    halves = np.where(np.arange(64) < 32, 0.3, 0.7) + grain

    smooth = denoised(halves.astype(np.float32), radius=2, grain=0.04)

    assert smooth[8:-8, 8:24].std() < 0.4 * halves[8:-8, 8:24].std()
    assert np.diff(smooth, axis=1)[:, 31] == pytest.approx(0.4, abs=0.06)


def test_nothing_is_grain_where_grain_is_said_to_be_next_to_nothing() -> None:
    lung = make_lung(1, 64)

    assert denoised(lung, radius=2, grain=1e-6) == pytest.approx(lung, abs=1e-3)


def test_an_inverted_scan_has_black_and_white_exchanged() -> None:
    assert varied(always("inverted")) == pytest.approx(1 - make_lung(1, 64), abs=1e-6)


def test_a_probability_is_the_share_of_scans_that_are_varied() -> None:
    config = replace(NO_AUGMENTATION, noise=0.3)
    original = make_lung(1, 16)

    changed = [not np.array_equal(varied(config, seed, side=16), original) for seed in range(400)]

    assert np.mean(changed) == pytest.approx(0.3, abs=0.07)


def test_an_untouched_share_of_the_crops_keeps_its_grain_whatever_the_rest_says() -> None:
    config = replace(ALWAYS, window=0.0, inverted=0.0, untouched=0.3)
    original = make_lung(1, 16)

    kept = [np.array_equal(varied(config, seed, side=16), original) for seed in range(400)]

    assert np.mean(kept) == pytest.approx(0.3, abs=0.07)


def test_an_untouched_crop_is_seen_through_other_windows_and_exposures_as_well() -> None:
    config = replace(always("window"), untouched=1.0)
    brighter = replace(NO_AUGMENTATION, brightness=0.3, untouched=1.0)

    assert np.array_equal(varied(config), varied(always("window")))
    assert np.array_equal(varied(brighter), varied(replace(brighter, untouched=0.0)))
    assert not np.array_equal(varied(brighter), make_lung(1, 64))


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


# --- what the documents name: brightness and contrast, rotation, flips, zoom -----------------


def test_brightness_moves_all_grey_values_by_the_same_amount() -> None:
    grey = make_lung(1, 64) * 0.5 + 0.25

    bright = vary_appearance(
        grey, generator_for("b"), replace(NO_AUGMENTATION, brightness=0.2), keep_detail=False
    )

    change = bright - grey
    assert 0.001 < abs(change.mean()) <= 0.2
    assert change.std() < 1e-6


def test_contrast_stretches_grey_values_from_middle_grey() -> None:
    grey = make_lung(1, 64) * 0.5 + 0.25

    stretched = vary_appearance(
        grey, generator_for("c"), replace(NO_AUGMENTATION, contrast=0.3), keep_detail=False
    )

    factor = (stretched - 0.5) / (grey - 0.5)
    assert factor[abs(grey - 0.5) > 0.05] == pytest.approx(float(np.median(factor)), rel=1e-3)
    assert 0.7 <= np.median(factor) <= 1.3
    assert np.median(factor) != pytest.approx(1.0, abs=1e-3)


def test_a_scan_is_mirrored_and_put_upside_down() -> None:
    grey = make_lung(1, 64)

    assert np.array_equal(Placement(mirrored=True).apply(grey), grey[:, ::-1])
    assert np.array_equal(Placement(upended=True).apply(grey), grey[::-1])
    assert np.array_equal(Placement().apply(grey), grey)


def test_a_scan_is_turned_against_the_clock() -> None:
    grey = np.zeros((65, 65), dtype=np.float32)
    grey[32, 60] = 1  # at three o'clock

    turned = Placement(degrees=90).apply(grey)

    assert divmod(int(turned.argmax()), 65) == (4, 32)  # at twelve


def test_zoom_enlarges_the_middle_and_a_small_scan_lies_on_black() -> None:
    white = np.ones((64, 64), dtype=np.float32)

    small = Placement(scale=0.5).apply(white)

    assert Placement(scale=2.0).apply(white).min() == 1
    assert small[32, 32] == 1
    assert small[:14].max() == small[:, -14:].max() == 0


def test_placements_stay_within_their_config() -> None:
    config = AugmentationConfig(
        flip_horizontal=True, flip_vertical=False, rotation_degrees=10, zoom=1.2
    )

    drawn = [draw_placement(generator_for(i), config) for i in range(200)]

    assert {p.mirrored for p in drawn} == {True, False}
    assert not any(p.upended for p in drawn)
    assert 8 < max(abs(p.degrees) for p in drawn) <= 10
    scales = [p.scale for p in drawn]
    assert 1 / 1.2 <= min(scales) < 0.87
    assert 1.15 < max(scales) <= 1.2


def test_a_config_that_varies_nothing_leaves_a_scan_where_it_is() -> None:
    still = replace(NO_AUGMENTATION, flip_horizontal=False)

    assert {draw_placement(generator_for(i), still) for i in range(20)} == {Placement()}


def test_a_narrow_window_brings_out_what_a_wide_one_hides() -> None:
    rng = np.random.default_rng(0)
    flat = (0.4 + 0.02 * rng.standard_normal((64, 64))).clip(0, 1).astype(np.float32)
    usual = AugmentationConfig(window=1, resample=0, blur=0, noise=0, jpeg=0)
    narrow = replace(usual, narrowest_window=0.2)

    def largest_spread(config: AugmentationConfig) -> float:
        generators = (np.random.default_rng(seed) for seed in range(40))
        return max(
            float(vary_appearance(flat, g, config, keep_detail=True).std()) for g in generators
        )

    assert largest_spread(narrow) > 1.5 * largest_spread(usual)
