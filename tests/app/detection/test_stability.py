import numpy as np
import pytest

from app.detection.card import ArchitectureSpec
from app.detection.labels import Verdict
from app.detection.stability import (
    VARIANTS,
    assess,
    mirrored,
    settled,
    shifted,
    turns,
    variants_for,
)
from tests.factories import make_grey

SQUARE = make_grey(96, 96, seed=4)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_scan_of_the_same_size_and_range(name: str) -> None:
    variant = VARIANTS[name](SQUARE)

    assert variant.shape == SQUARE.shape
    assert variant.dtype == np.float32
    assert variant.min() >= 0
    assert variant.max() <= 1


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_the_scan_and_leaves_it_as_it_was(name: str) -> None:
    before = SQUARE.copy()

    variant = VARIANTS[name](SQUARE)

    assert not np.array_equal(variant, SQUARE)
    assert np.array_equal(SQUARE, before)


@pytest.mark.parametrize("name", ["re_encoded", "rescaled"])
def test_coding_and_scaling_change_little(name: str) -> None:
    smooth = np.linspace(0, 1, 96 * 96, dtype=np.float32).reshape(96, 96)

    assert np.abs(VARIANTS[name](smooth) - smooth).mean() < 0.02


def test_shifting_moves_what_is_there_and_repeats_the_edge() -> None:
    moved = shifted(SQUARE)

    assert np.array_equal(moved[3:, 3:], SQUARE[:-3, :-3])
    assert (moved[:3, 3:] == SQUARE[0, :-3]).all()


def test_mirroring_twice_gives_the_scan_back() -> None:
    assert np.array_equal(mirrored(mirrored(SQUARE)), SQUARE)


@pytest.mark.parametrize(
    ("probability", "variant", "expected"),
    [(0.9, 0.51, False), (0.9, 0.49, True), (0.1, 0.5, True), (0.5, 0.9, False), (0.1, 0.2, False)],
)
def test_a_verdict_turns_at_the_threshold(
    probability: float, variant: float, *, expected: bool
) -> None:
    assert turns(probability, variant, 0.5) is expected


def test_a_network_that_looks_at_mirror_images_anyway_is_not_asked_about_them() -> None:
    once = ArchitectureSpec(name="efficientnet_b4", arguments={"mirrored": False})
    both = ArchitectureSpec(name="efficientnet_b4", arguments={"mirrored": True})

    assert variants_for(once) == VARIANTS
    assert set(variants_for(both)) == set(VARIANTS) - {"mirrored"}


def test_one_variant_that_turns_is_enough_to_withdraw_a_verdict() -> None:
    stable = assess(0.97, {"a": 0.9, "b": 0.8}, 0.5)
    shaken = assess(0.97, {"a": 0.9, "b": 0.4}, 0.5)

    assert settled(Verdict.FAKE, stable) is Verdict.FAKE
    assert settled(Verdict.FAKE, shaken) is Verdict.INCONCLUSIVE
    assert settled(Verdict.REAL, None) is Verdict.REAL
