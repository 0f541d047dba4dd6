import csv
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from app.detection.labels import Label
from tests.factories import png_bytes, truncated
from tests.training.evaluation_lab import DETECTOR
from tests.training.lab import a_scan
from training.data.images import write_grey
from training.data.manifest import Scan
from training.errors import ManifestError, PredictionsError
from training.evaluation.localisation import EDIT_RADIUS_PIXELS
from training.evaluation.predict import Skipped, judge, predict
from training.evaluation.prediction_file import Prediction, read_predictions, write_predictions


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
        (str(52 - EDIT_RADIUS_PIXELS + 4), "12", "1"),
        (str(52 - EDIT_RADIUS_PIXELS - 5), "12", "0"),
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


def test_an_edited_patch_is_compared_with_where_a_forger_of_this_modality_would_edit(
    tmp_path: Path, manifest: Path
) -> None:
    grain = 0.1 * np.random.default_rng(0).random((64, 64), dtype=np.float32)
    write_grey(tmp_path / "a.png", np.maximum(grain, dark_with_light(12, 52)))
    edited = a_scan(tmp_path / "a.png", label=Label.FAKE, x="52", y="12")
    knee = replace(DETECTOR, card=replace(DETECTOR.card, modality="knee_xray"))
    other = replace(DETECTOR, card=replace(DETECTOR.card, modality="histopathology_lung"))

    (row,), (row_of_other,) = (predict(one, [edited], manifest) for one in (knee, other))

    assert row.patch_auc == 1.0
    assert row_of_other.patch_auc is None


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


# --- what is wrong with a scan --------------------------------------------------------------


def test_a_damaged_scan_is_skipped_with_its_reason_and_the_rest_is_judged(
    tmp_path: Path, manifest: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(truncated(png_bytes()))
    write_grey(tmp_path / "good.png", dark_with_light(20, 20))
    names = ("good.png", "bad.png", "gone.png", "good.png")

    found = judge(DETECTOR, [a_scan(tmp_path / name) for name in names], manifest)

    assert [row.path for row in found.rows] == ["good.png", "good.png"]
    assert [one.path for one in found.skipped] == ["bad.png", "gone.png"]
    assert found.skipped[0].reason.startswith("The PNG image is damaged")
    assert not found.skipped[0].is_judged


def test_a_scan_with_a_useless_mask_is_judged_all_the_same(tmp_path: Path, manifest: Path) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(12, 52))
    write_grey(tmp_path / "mask.png", dark_with_light(12, 52, (32, 32)))
    scan = a_scan(tmp_path / "a.png", label=Label.FAKE, mask=str(tmp_path / "mask.png"))

    found = judge(DETECTOR, [scan], manifest)

    assert [row.peak_in_mask for row in found.rows] == [""]
    assert found.skipped == [
        Skipped(
            path="a.png",
            reason="its mask is 32 × 32 pixels, the scan 64 × 64",
            is_judged=True,
        )
    ]


def test_where_every_scan_must_do_a_useless_mask_is_an_error(
    tmp_path: Path, manifest: Path
) -> None:
    write_grey(tmp_path / "a.png", dark_with_light(12, 52))

    with pytest.raises(ManifestError, match=r"m\.csv: a\.png: its x 'left' is no number"):
        judged([a_scan(tmp_path / "a.png", label=Label.FAKE, x="left", y="3")], manifest)


# --- what is done to a scan -----------------------------------------------------------------


def test_a_scan_is_judged_after_each_thing_that_is_done_to_it(
    tmp_path: Path, manifest: Path
) -> None:
    write_grey(tmp_path / "a.png", np.full((64, 64), 0.5, dtype=np.float32))
    variations = {"darker": lambda grey, path: grey * 0.1, "named": lambda grey, path: grey}

    rows = judge(DETECTOR, [a_scan(tmp_path / "a.png")], manifest, variations=variations).rows

    assert [row.variation for row in rows] == ["darker", "named"]
    assert rows[0].logit < rows[1].logit == judged([a_scan(tmp_path / "a.png")], manifest)[0].logit


# --- reading --------------------------------------------------------------------------------


def test_a_prediction_file_comes_back_as_it_was_written(tmp_path: Path, manifest: Path) -> None:
    grain = 0.1 * np.random.default_rng(0).random((64, 64), dtype=np.float32)
    write_grey(tmp_path / "a.png", np.maximum(grain, dark_with_light(12, 52)))
    edited = a_scan(tmp_path / "a.png", label=Label.FAKE, mask=str(tmp_path / "a.png"))
    rows = judged([a_scan(tmp_path / "a.png"), edited], manifest)

    write_predictions(tmp_path / "p.csv", rows)

    assert rows[1].edit_pixels == 64
    assert read_predictions(tmp_path / "p.csv") == rows


def test_a_prediction_file_from_before_edits_were_measured_can_be_read(tmp_path: Path) -> None:
    old = (
        "path,label,source,generator,person,logit,probability,verdict,peak_x,peak_y,peak_in_mask\n"
        "a.png,fake,drawn,g,drawn/1,1.5,0.8,fake,3,4,1\n"
    )
    (tmp_path / "p.csv").write_text(old, encoding="utf-8")

    (row,) = read_predictions(tmp_path / "p.csv")

    assert (row.logit, row.peak_y, row.peak_in_mask, row.iou) == (1.5, 4, "1", None)


@pytest.mark.parametrize(
    "text", ["path,label\na.png,fake\n", "path,surprise\na.png,1\n", "logit\nhigh\n"]
)
def test_a_file_that_is_no_prediction_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")

    with pytest.raises(PredictionsError, match=r"p\.csv: it cannot be used"):
        read_predictions(tmp_path / "p.csv")


def test_a_prediction_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="cannot be used"):
        read_predictions(tmp_path / "p.csv")
