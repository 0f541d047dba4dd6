import csv
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector
from app.detection.labels import Label
from app.detection.weights import LoadedDetector
from tests.factories import make_card, png_bytes, truncated
from tests.training.lab import a_scan
from training.data.images import write_grey
from training.data.manifest import Scan
from training.errors import ManifestError
from training.evaluation.predict import (
    EDIT_RADIUS_PIXELS,
    Prediction,
    predict,
    write_predictions,
)


class Brightness(Detector):
    """Takes bright cells of 8 pixels for fake."""

    def __init__(self) -> None:
        super().__init__(sharpness=0.0)

    def evidence(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 8).mean(1)


DETECTOR = LoadedDetector(network=Brightness().eval(), card=make_card())


def dark_with_light(
    row: int, column: int, shape: tuple[int, int] = (64, 64)
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    grey = np.zeros(shape, dtype=np.float32)
    grey[max(0, row - 4) : row + 4, max(0, column - 4) : column + 4] = 1
    return grey


def judged(scans: Sequence[Scan], manifest: Path) -> list[Prediction]:
    return predict(DETECTOR, scans, manifest)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "m.csv"


def test_a_prediction_says_what_the_card_makes_of_the_logit(tmp_path: Path, manifest: Path) -> None:
    for name, level in (("dark", 0.0), ("light", 1.0)):
        write_grey(tmp_path / f"{name}.png", np.full((64, 64), level, dtype=np.float32))

    dark, light = judged([a_scan(tmp_path / "dark.png"), a_scan(tmp_path / "light.png")], manifest)

    assert dark.logit < 0 < light.logit
    assert light.probability == pytest.approx(1 / (1 + math.exp(-light.logit)))
    assert (dark.verdict, light.verdict) == ("real", "fake")


@pytest.mark.parametrize("shape", [(64, 64), (64, 128), (128, 64)])
@pytest.mark.parametrize(("down", "across"), [(0.1, 0.1), (0.9, 0.3), (0.3, 0.9)])
def test_the_peak_lies_on_the_strongest_evidence(
    tmp_path: Path, manifest: Path, shape: tuple[int, int], down: float, across: float
) -> None:
    row, column = int(shape[0] * down), int(shape[1] * across)
    write_grey(tmp_path / "a.png", dark_with_light(row, column, shape))

    (judgement,) = judged([a_scan(tmp_path / "a.png")], manifest)

    cell = 8 * max(shape) / 64
    assert judgement.peak_y == pytest.approx(row, abs=0.8 * cell)
    assert judgement.peak_x == pytest.approx(column, abs=0.8 * cell)


def test_the_peak_is_looked_up_in_the_mask_by_row_and_column(
    tmp_path: Path, manifest: Path
) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(12, 52))
    for name, row, column in (("right", 12, 52), ("turned", 52, 12)):
        write_grey(tmp_path / f"{name}.png", dark_with_light(row, column))

    found = [
        judged(
            [a_scan(tmp_path / "a.png", label=Label.FAKE, mask=str(tmp_path / f"{name}.png"))],
            manifest,
        )[0].peak_in_mask
        for name in ("right", "turned")
    ]

    assert found == ["1", "0"]


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [
        ("52", "12", "1"),
        ("12", "52", "0"),
        (str(52 + EDIT_RADIUS_PIXELS - 4), "12", "1"),
        (str(52 + EDIT_RADIUS_PIXELS + 5), "12", "0"),
        ("52.0", "12.5", "1"),
        ("", "", ""),
        ("52", "", ""),
    ],
)
def test_without_a_mask_the_peak_is_compared_with_the_centre_of_the_edit(
    tmp_path: Path, manifest: Path, x: str, y: str, found: str
) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(12, 52))

    (judgement,) = judged([a_scan(tmp_path / "a.png", label=Label.FAKE, x=x, y=y)], manifest)

    assert judgement.peak_in_mask == found


def test_an_authentic_scan_has_no_edit_to_point_at(tmp_path: Path, manifest: Path) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(12, 52))

    (judgement,) = judged([a_scan(tmp_path / "a.png", x="52", y="12")], manifest)

    assert judgement.peak_in_mask == ""


def test_a_damaged_scan_is_named_as_the_manifest_names_it(tmp_path: Path, manifest: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bad.png").write_bytes(truncated(png_bytes()))

    with pytest.raises(ManifestError, match=r"m\.csv: below/bad\.png: The PNG image is damaged"):
        judged([a_scan(tmp_path / "below" / "bad.png")], manifest)


def test_paths_are_written_relative_to_the_manifest(tmp_path: Path, manifest: Path) -> None:
    inside, outside = tmp_path / "below" / "a.png", tmp_path.parent / f"{tmp_path.name}-b.png"
    for path in (inside, outside):
        write_grey(path, dark_with_light(20, 20))

    rows = judged([a_scan(inside), a_scan(outside)], manifest)

    assert [row.path for row in rows] == ["below/a.png", str(outside)]


def test_the_prediction_file_has_a_row_a_scan(tmp_path: Path, manifest: Path) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(20, 20))
    rows = judged([a_scan(tmp_path / "a.png"), a_scan(tmp_path / "a.png")], manifest)

    write_predictions(tmp_path / "out" / "predictions.csv", rows)

    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [list(row) for row in read] == [[f.name for f in fields(Prediction)]] * 2
    assert float(read[0]["logit"]) == rows[0].logit
    assert read[0]["person"] == "drawn/p0"
