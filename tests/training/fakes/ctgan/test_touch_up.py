import numpy as np
import pytest

from training.fakes.ctgan.touch_up import (
    Equaliser,
    Kernel,
    Units,
    blending_weights,
    copied_noise,
    injected,
    interpolated_noise,
    removed,
    resampled,
    spread_of_lung,
)

KERNELS: list[Kernel] = ["gaussian", "cone", "paraboloid"]


def tissue(seed: int = 0, side: int = 40, mean: float = -850, spread: float = 30) -> Units:
    return np.random.default_rng(seed).normal(mean, spread, (side, side)).astype(np.float32)


# --- equalisation ---------------------------------------------------------------------------


def test_equalised_voxels_are_spread_evenly_and_come_back() -> None:
    units = np.concatenate([tissue(1).ravel(), tissue(2, mean=30).ravel()])
    equaliser = Equaliser()
    equaliser.fit(units)

    values = equaliser.equalised(units)

    assert (values.min(), values.max()) == pytest.approx((-0.5, 0.5), abs=1e-6)
    assert np.histogram(values, bins=4)[0] == pytest.approx(len(units) / 4, rel=0.02)
    assert equaliser.restored(values) == pytest.approx(units, abs=1)


def test_an_equaliser_goes_through_a_checkpoint() -> None:
    one, other = Equaliser(), Equaliser()
    one.fit(tissue())

    other.load_state_dict(one.state_dict())

    assert np.array_equal(other.knots, one.knots)


def test_what_a_painter_overshoots_is_cut_off() -> None:
    equaliser = Equaliser()
    equaliser.fit(tissue())

    restored = equaliser.restored(np.array([-3, 3], dtype=np.float32))

    assert restored.tolist() == [equaliser.knots[0], equaliser.knots[-1]]


# --- resampling and noise -------------------------------------------------------------------


@pytest.mark.parametrize("side", [32, 41, 58])
def test_a_region_is_resampled_to_the_side_that_is_asked_for(side: int) -> None:
    ramp = np.tile(np.linspace(-900, 0, 50, dtype=np.float32), (50, 1))

    scaled = resampled(ramp, side)

    assert scaled.shape == (side, side)
    assert (scaled[0, 0], scaled[-1, -1]) == pytest.approx((-900, 0), abs=1)


def test_the_spread_is_that_of_lung_alone() -> None:
    units = tissue(spread=30)
    units[:10] = 40  # the chest wall

    assert spread_of_lung(units) == pytest.approx(30, rel=0.1)
    assert spread_of_lung(np.full((4, 4), 40, dtype=np.float32)) == 8
    assert spread_of_lung(np.full((4, 4), -850, dtype=np.float32)) == 8


@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.7])
def test_interpolated_noise_is_finer_the_less_it_is_scaled(zoom: float) -> None:
    noise = interpolated_noise(60, 30, zoom, np.random.default_rng(0))

    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]

    assert noise.shape == (60, 60)
    assert abs(noise.mean()) < 3
    assert 15 < noise.std() < 32
    assert (neighbours > 0.3) == (zoom > 1.2)


def test_copied_noise_leaves_vessels_behind() -> None:
    units = tissue(mean=-870, spread=20)
    units[5:8] = -300

    noise = copied_noise(units)

    assert noise is not None
    assert abs(float(noise.mean())) < 2
    assert np.abs(noise).max() < 120
    assert (noise[5:8] == 0).all()
    assert copied_noise(np.full((8, 8), 40, dtype=np.float32)) is None


# --- blending -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("side", [41, 42])
def test_weights_fall_from_the_middle_to_nothing_at_the_rim(kernel: Kernel, side: int) -> None:
    weights = blending_weights(side, kernel)

    assert weights.shape == (side, side)
    assert weights[side // 2, side // 2] == pytest.approx(1, abs=0.06)
    for rim in (weights[0], weights[-1], weights[:, 0], weights[:, -1]):
        assert rim.max() < 0.01
    assert np.diff(weights[side // 2, side // 2 :]).max() <= 0


def test_only_what_is_solid_and_brighter_is_injected() -> None:
    original = tissue()
    original[:, 30:] = 40
    painted = np.full_like(original, -950)
    painted[15:25, 15:25] = 0
    weights = np.ones_like(original)

    units, share = injected(painted, np.zeros_like(original), original, weights)

    assert units[20, 20] == pytest.approx(0, abs=1)
    assert (units >= original).all()
    assert np.array_equal(units[:10, :30], np.maximum(original[:10, :30], units[:10, :30]))
    assert share[20, 20] > 0.99
    assert share[5, 5] < 0.05


def test_a_removal_is_what_was_painted_where_its_weight_is_one() -> None:
    original, painted, noise = tissue(0), tissue(1), tissue(2, mean=0)
    weights = np.zeros_like(original)
    weights[:20] = 1

    units = removed(painted, noise, original, weights)

    assert np.allclose(units[:20], (painted + noise)[:20])
    assert np.allclose(units[20:], original[20:])
