"""Tests of leaving out fakes that hardly differ from what they were made from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.detection.labels import Label
from training.data.images import write_grey
from training.data.manifest import Scan
from training.fakes.visibility import is_visible, mean_change

SIDE = 16


@pytest.fixture
def fake(tmp_path: Path) -> Scan:
    """A scan whose left half was made four grey levels brighter."""
    grey = np.full((SIDE, SIDE), 100 / 255, dtype=np.float32)
    edited = grey.copy()
    edited[:, : SIDE // 2] = 104 / 255
    mask = np.zeros_like(grey)
    mask[:, : SIDE // 2] = 1
    for name, image in (("origin", grey), ("fake", edited), ("mask", mask)):
        write_grey(tmp_path / f"{name}.png", image)
    return Scan(
        path=tmp_path / "fake.png",
        label=Label.FAKE,
        source="study",
        patient="1",
        generator="classical_edits",
        origin=str(tmp_path / "origin.png"),
        mask=str(tmp_path / "mask.png"),
    )


def test_change_is_measured_within_the_mask(fake: Scan) -> None:
    assert mean_change(fake) == pytest.approx(4)


def test_change_of_a_fake_without_a_mask_is_that_of_the_whole_image(fake: Scan) -> None:
    assert mean_change(replace(fake, mask="")) == pytest.approx(2)


@pytest.mark.parametrize(("least_change", "visible"), [(0, True), (3.9, True), (4.1, False)])
def test_a_fake_that_changes_too_little_is_none(
    fake: Scan, least_change: float, visible: bool
) -> None:
    assert is_visible(fake, least_change) is visible


def test_a_fake_made_from_nothing_is_always_one(fake: Scan) -> None:
    assert is_visible(replace(fake, origin="", mask=""), 200)
