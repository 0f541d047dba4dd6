import numpy as np
import pytest
from scipy import ndimage

from training.fakes.retouching import (
    Grey,
    Region,
    Turn,
    blob,
    copied,
    grain_of,
    pasted,
    seamless,
    telea,
)

SIDE = 24


def picture(seed: int = 0, side: int = SIDE) -> Grey:
    return np.random.default_rng(seed).uniform(0.3, 0.7, (side, side)).astype(np.float32)


def disc(radius: float = 8, side: int = SIDE) -> Region:
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    region: Region = np.hypot(rows, columns) < radius
    return region


def ramp(slope: float = 0.01) -> Grey:
    return np.broadcast_to(0.3 + slope * np.arange(SIDE), (SIDE, SIDE)).astype(np.float32)


@pytest.mark.parametrize("side", [8, 15, 40])
def test_an_outline_is_one_piece_free_of_the_rim(side: int) -> None:
    for seed in range(20):
        region = blob(side, np.random.default_rng(seed))
        assert ndimage.label(region)[1] == 1
        assert region.mean() > 0.15
        assert not region[[0, -1]].any()
        assert not region[:, [0, -1]].any()


def test_a_copy_without_a_turn_is_the_part_itself() -> None:
    grey = picture(side=60)

    assert copied(grey, (30, 25), 10, Turn()) == pytest.approx(grey[25:35, 20:30], abs=1e-6)


def test_a_quarter_turn_is_anticlockwise() -> None:
    grey = picture(side=61)
    part = copied(grey, (30, 30), 11, Turn(degrees=90))

    assert part == pytest.approx(np.rot90(grey[25:36, 25:36]), abs=1e-3)


def test_a_mirrored_copy_changes_left_and_right() -> None:
    grey = picture(side=61)

    part = copied(grey, (30, 30), 11, Turn(mirrored=True))

    assert part == pytest.approx(grey[25:36, 25:36][:, ::-1], abs=1e-6)


def test_a_larger_scale_makes_the_copy_larger() -> None:
    grey = disc(6, side=61).astype(np.float32)

    areas = [copied(grey, (30, 30), 31, Turn(scale=s)).sum() for s in (0.8, 1.0, 1.25)]

    assert areas[0] / areas[1] == pytest.approx(0.64, abs=0.05)
    assert areas[2] / areas[1] == pytest.approx(1.56, abs=0.1)


def test_a_copy_near_the_border_is_continued_by_its_mirror_image() -> None:
    part = copied(picture(), (1, 1), 20, Turn(degrees=30))

    assert part.shape == (20, 20)
    assert np.isfinite(part).all()


def test_a_hard_paste_replaces_and_a_soft_one_fades() -> None:
    part, target, region = np.ones((SIDE, SIDE), np.float32), picture(), disc()

    hard = pasted(part, target, region, feather=0)
    soft = pasted(part, target, region, feather=4)

    assert (hard[region] == 1).all()
    assert (soft[region] <= 1).all()
    assert (soft < hard).sum() > 0
    for result in (hard, soft):
        assert np.array_equal(result[~region], target[~region])


def test_cloning_an_image_into_itself_changes_nothing() -> None:
    grey = picture()

    assert seamless(grey, grey, disc(), mixed=False) == pytest.approx(grey, abs=1e-5)


def test_cloning_forgets_the_brightness_of_the_source_and_keeps_its_shapes() -> None:
    part = (0.2 + 0.3 * disc(3)).astype(np.float32)
    target = np.full((SIDE, SIDE), 0.5, np.float32)

    result = seamless(part, target, disc(10), mixed=False)

    assert result[12, 12] == pytest.approx(0.8, abs=0.02)
    assert result[12, 5] == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(result[~disc(10)], target[~disc(10)])


def test_mixed_cloning_lets_the_target_shine_through() -> None:
    part = np.full((SIDE, SIDE), 0.5, np.float32)
    target = (0.2 + 0.3 * disc(3)).astype(np.float32)

    plain, mixed = (seamless(part, target, disc(10), mixed=m) for m in (False, True))

    assert plain[12, 12] == pytest.approx(0.2, abs=0.02)
    assert mixed[12, 12] == pytest.approx(0.5, abs=0.02)


def test_filling_continues_an_even_slope() -> None:
    filled = telea(ramp(), disc(5))

    assert filled == pytest.approx(ramp(), abs=0.02)


def test_filling_takes_a_spot_away_and_changes_nothing_else() -> None:
    target = (0.4 + 0.5 * disc(3)).astype(np.float32)

    filled = telea(target, disc(5))

    assert filled == pytest.approx(np.full((SIDE, SIDE), 0.4), abs=1e-6)
    noisy = picture()
    assert np.array_equal(telea(noisy, disc(5))[~disc(5)], noisy[~disc(5)])


def test_filling_stays_within_the_grey_values_around() -> None:
    target, region = picture(), disc(7)

    filled = telea(target, region)

    assert target[~region].min() <= filled.min()
    assert filled.max() <= target[~region].max()


def test_grain_has_neither_slope_nor_spots() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (SIDE, SIDE))
    grain = grain_of((ramp() + noise + 0.5 * disc(2)).astype(np.float32))

    assert abs(grain.mean()) < 0.01
    assert 0.005 < grain.std() < 0.05
    assert np.abs(grain).max() < 0.2
