from pathlib import Path

import numpy as np
import pytest

from tests.factories import make_card
from tests.training.evaluation_lab import DETECTOR, a_row
from tests.training.lab import make_lung, stored, write_dataset
from training.data.manifest import Scan
from training.evaluation.report import Robustness
from training.evaluation.robustness import (
    AS_IT_IS,
    EVERYDAY,
    VARIATIONS,
    Sample,
    choose,
    robustness,
    robustness_rows,
)

LUNG = stored(make_lung(0))
CARD = make_card()
INVERTED = "black and white exchanged"


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_change_gives_what_an_8_bit_file_can_hold(name: str) -> None:
    before = LUNG.copy()

    grey = VARIATIONS[name](LUNG, "a.png")

    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey * 255, np.round(grey * 255), atol=1e-4)
    assert grey.min() >= 0
    assert grey.max() <= 1
    np.testing.assert_array_equal(LUNG, before)


@pytest.mark.parametrize("name", [n for n in VARIATIONS if n not in (AS_IT_IS, INVERTED)])
def test_a_change_changes_something_but_not_much(name: str) -> None:
    grey = VARIATIONS[name](LUNG, "a.png")

    if grey.shape == LUNG.shape:
        assert 0 < np.abs(grey - LUNG).mean() < 0.15
    else:
        assert grey.mean() == pytest.approx(LUNG.mean(), abs=0.15)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("scaled to 50 %", 48),
        ("scaled to 75 %", 72),
        ("scaled to 150 %", 144),
        ("scaled to 200 %", 192),
        ("cropped to 90 %", 86),
        ("cropped to 80 %", 76),
        ("black frame", 116),
    ],
)
def test_scaling_and_cropping_change_the_size(name: str, side: int) -> None:
    assert VARIATIONS[name](LUNG, "a.png").shape == (side, side)


def test_black_and_white_exchanged_twice_is_the_scan_again() -> None:
    once = VARIATIONS[INVERTED](LUNG, "a.png")

    assert once.mean() == pytest.approx(1 - LUNG.mean(), abs=0.001)
    np.testing.assert_allclose(VARIATIONS[INVERTED](once, "a.png"), LUNG, atol=1e-6)


def test_noise_is_the_same_every_time_but_not_on_every_scan() -> None:
    noise = VARIATIONS["noise, 3 % of the range"]

    np.testing.assert_array_equal(noise(LUNG, "a.png"), noise(LUNG, "a.png"))
    assert not np.array_equal(noise(LUNG, "a.png"), noise(LUNG, "b.png"))


def test_a_side_marker_is_a_bright_letter_whose_place_depends_on_the_scan() -> None:
    marked, again, other = (VARIATIONS["side marker"](LUNG, path) for path in "aab")

    np.testing.assert_array_equal(marked, again)
    assert not np.array_equal(marked, other)
    assert marked[marked != LUNG].min() > 0
    assert 0.0003 < (marked > LUNG + 0.2).mean() < 0.02


def test_a_window_moves_grey_values_as_its_name_says() -> None:
    brighter, darker = (VARIATIONS[f"{w} window"](LUNG, "") for w in ("brighter", "darker"))

    assert darker.mean() < LUNG.mean() < brighter.mean()


def test_the_changes_are_those_that_every_detector_is_held_to() -> None:
    assert set(EVERYDAY) < set(VARIATIONS)
    for quality in (95, 85, 75, 60):
        assert f"JPEG, quality {quality}" in VARIATIONS


# --- the sample -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return write_dataset(tmp_path_factory.mktemp("scans"), train=12, validation=0)


def test_a_sample_is_half_authentic_and_spread_over_generators(scans: list[Scan]) -> None:
    chosen = choose(scans, Sample(scans=8))

    counts = {name: sum(s.generator == name for s in chosen) for name in ("", "square", "blocks")}
    assert counts == {"": 4, "square": 2, "blocks": 2}


def test_a_sample_depends_on_its_seed_alone(scans: list[Scan]) -> None:
    first, again, other = (choose(scans, Sample(scans=8, seed=seed)) for seed in (0, 0, 1))

    assert first == again
    assert first != other


def test_a_sample_of_one_class_is_all_of_it(scans: list[Scan]) -> None:
    reals = [scan for scan in scans if not scan.generator]

    assert len(choose(reals, Sample(scans=8))) == 8


def test_every_scan_is_judged_after_every_change(scans: list[Scan], tmp_path: Path) -> None:
    rows = robustness_rows(DETECTOR, scans, tmp_path / "m.csv", Sample(scans=4))

    assert {row.variation for row in rows} == set(VARIATIONS)
    assert len(rows) == 4 * len(VARIATIONS)


# --- the figures ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(few_bootstrap_rounds: None) -> Robustness:
    """JPEG of quality 85 costs four fakes of ten; blur, which nobody asks about, costs all."""
    rows = []
    for name in VARIATIONS:
        lost = {"JPEG, quality 85": 4, "blur, 1 pixel": 10}.get(name, 0)
        rows += [a_row(i, 0.1, variation=name) for i in range(10)]
        rows += [
            a_row(20 + i, 0.1 if i < lost else 0.9, label="fake", generator="g", variation=name)
            for i in range(10)
        ]
    return robustness(rows, CARD)


def test_the_fall_of_balanced_accuracy_is_that_of_each_change(measured: Robustness) -> None:
    falls = {k: v["fall"].value for k, v in measured.variations.items() if "fall" in v}

    assert falls["JPEG, quality 85"] == pytest.approx(0.2)
    assert falls["blur, 1 pixel"] == pytest.approx(0.5)
    assert falls["gamma 0.8"] == 0
    assert AS_IT_IS not in falls
    assert measured.variations["blur, 1 pixel"]["miss_rate"].value == 1


def test_the_worst_fall_is_that_of_an_everyday_change_and_names_it(measured: Robustness) -> None:
    assert measured.worst_fall.value == pytest.approx(0.2)
    assert measured.worst_fall.note.startswith("JPEG, quality 85; ")


def test_on_one_class_the_fall_is_undefined_and_the_rest_is_measured() -> None:
    rows = [a_row(i, 0.1, variation=name) for name in VARIATIONS for i in range(6)]

    measured = robustness(rows, CARD)

    assert measured.worst_fall.value is None
    assert measured.variations["gamma 0.8"]["false_alarm_rate"].value == 0
