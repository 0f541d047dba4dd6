from pathlib import Path

import numpy as np
import pytest

from app.detection.labels import Label
from tests.training.evaluation_lab import CARD, DETECTOR, a_row
from tests.training.lab import a_scan, write_reals, write_whole_fake
from training.evaluation.controls import control_rows, controls, sides_of

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


def test_authentic_scans_are_judged_after_each_resolution(tmp_path: Path) -> None:
    scans = [*write_reals(tmp_path, 3), write_whole_fake(tmp_path, seed=9)]

    rows = control_rows(DETECTOR, scans, tmp_path / "m.csv", [32, 16, 32])

    assert [row.variation for row in rows[:2]] == ["through 16 pixels", "through 32 pixels"]
    assert len(rows) == 6
    assert {row.label for row in rows} == {"real"}


def test_a_resolution_above_the_scan_s_own_changes_nothing(tmp_path: Path) -> None:
    (scan,) = write_reals(tmp_path, 1)

    (coarse, whole) = control_rows(DETECTOR, [scan], tmp_path / "m.csv", [8, 4096])
    (again,) = control_rows(DETECTOR, [scan], tmp_path / "m.csv", [96])

    assert whole.logit == pytest.approx(again.logit)
    assert not np.isclose(coarse.logit, again.logit, atol=1e-6)


def test_no_more_than_a_seeded_sample_is_judged(tmp_path: Path) -> None:
    scans = write_reals(tmp_path, 6)

    first, again = (
        control_rows(DETECTOR, scans, tmp_path / "m.csv", [16], at_most=2) for _ in range(2)
    )

    assert len(first) == 2
    assert [row.path for row in first] == [row.path for row in again]


def test_whole_images_stand_against_authentic_scans_as_coarse_as_they_are() -> None:
    """Sharp authentic scans are told from them, coarse ones are not: it learned coarseness."""
    rows = [a_row(i, 0.1) for i in range(8)]
    rows += [a_row(20 + i, 0.9, label="fake", generator="dcgan") for i in range(8)]
    rows += [a_row(40, 0.9, label="fake", generator="edits", peak_in_mask="1")]
    coarse = [a_row(i, 0.9, variation="through 64 pixels") for i in range(8)]

    measured = controls(coarse, rows, CARD)["through 64 pixels"]

    assert measured["dcgan"].value == 0.5
    assert measured["false alarms"].value == 1
    assert "edits" not in measured


def test_the_resolutions_are_those_at_which_synthetic_images_were_drawn(tmp_path: Path) -> None:
    scans = [
        *write_reals(tmp_path, 1),
        a_scan("a.png", label=Label.FAKE, drawn_side="96"),
        a_scan("b.png", label=Label.FAKE, drawn_side="64"),
        a_scan("c.png", label=Label.FAKE, drawn_side="96"),
        a_scan("edit.png", label=Label.FAKE),
    ]

    assert sides_of(scans) == (64, 96)


def test_of_a_generator_that_draws_at_any_resolution_the_common_ones_count() -> None:
    drawn = [64] * 20 + [112] * 40 + list(range(200, 240))
    scans = [
        a_scan(f"{i}.png", label=Label.FAKE, drawn_side=str(side)) for i, side in enumerate(drawn)
    ]

    assert sides_of(scans) == (64, 112)
    assert len(sides_of(scans[60:])) == 1


def test_a_rare_generator_has_its_resolution_beside_a_frequent_one() -> None:
    names = ["often"] * 50 + ["rarely"]
    sides = {"often": "64", "rarely": "32"}
    scans = [
        a_scan(f"{i}.png", label=Label.FAKE, generator=name, drawn_side=sides[name])
        for i, name in enumerate(names)
    ]

    assert sides_of(scans) == (32, 64)
