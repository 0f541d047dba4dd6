import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.evaluation_lab import CARD, a_row
from training.evaluation.metrics import METRICS
from training.evaluation.page import write_report_page
from training.evaluation.predict import Skipped
from training.evaluation.prediction_file import Prediction
from training.evaluation.report import Report, edit_size, report, write_report

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


def rows() -> list[Prediction]:
    """Two sources of authentic scans, an easy generator, a hard one of local edits."""
    found = [a_row(i, 0.1) for i in range(8)]
    found += [a_row(10 + i, p, source="other") for i, p in enumerate([0.2, 0.9, 0.5, 0.25])]
    found += [a_row(20 + i, 0.95, label="fake", generator="easy") for i in range(6)]
    found += [
        a_row(30 + i, p, label="fake", generator="hard", peak_in_mask=str(int(i < 3)))
        for i, p in enumerate([0.15, 0.05, 0.6, 0.8])
    ]
    return found


@pytest.fixture(scope="module")
def measured(few_bootstrap_rounds: None) -> Report:
    return report(rows(), CARD)


def test_every_metric_is_reported(measured: Report) -> None:
    assert set(measured.metrics) == set(METRICS)
    assert measured.metrics["accuracy"].value == pytest.approx(18 / 22)


def test_each_generator_stands_against_all_authentic_scans(measured: Report) -> None:
    # Of 12 authentic scans the hard fakes beat 8, 0, 11 and 11.
    assert measured.auc_by_generator["easy"].value == 1.0
    assert measured.auc_by_generator["hard"].value == pytest.approx((8 + 0 + 11 + 11) / 48)


def test_false_alarms_are_counted_by_source(measured: Report) -> None:
    assert {k: v.value for k, v in measured.false_alarms_by_source.items()} == {
        "drawn": 0,
        "other": 1 / 4,
    }


def test_the_patch_auc_is_the_mean_over_local_edits() -> None:
    rows = [
        a_row(30 + i, 0.9, label="fake", generator="hard", patch_auc=value)
        for i, value in enumerate([1.0, 0.5, None])
    ]

    measured = report([*rows, a_row(1, 0.1)], CARD)

    assert {k: v.value for k, v in measured.patch_auc.items()} == {"hard": 0.75}


def test_the_pointing_game_is_that_of_local_edits(measured: Report) -> None:
    assert {k: v.value for k, v in measured.pointing_game.items()} == {"hard": 3 / 4}


def test_the_pointing_game_is_counted_by_verdict_as_well(measured: Report) -> None:
    # Of the four edits one is called fake, in which the heatmap misses, and one inconclusive.
    shares = {"called_fake": 0.0, "inconclusive": 1.0}

    assert {k: v.value for k, v in measured.pointing_by_verdict.items()} == shares
    for name, share in shares.items():
        assert measured.by_generator["hard"][f"pointing_{name}"].value == share


def test_edits_that_are_never_called_fake_have_no_figure_of_those_that_are() -> None:
    hidden = [a_row(30 + i, 0.05, label="fake", generator="hard", peak_in_mask="1") for i in (0, 1)]

    found = report([*hidden, a_row(1, 0.1)], CARD).pointing_by_verdict["called_fake"]

    assert found.value is None
    assert "there are no scans" in found.note


def test_only_edits_of_generators_that_count_are_in_the_pointing_game_by_verdict() -> None:
    assert report(rows(), CARD, in_distribution=["easy"]).pointing_by_verdict == {}


def test_verdicts_are_counted_by_label(measured: Report) -> None:
    assert measured.confusion == {
        "fake called fake": 7,
        "fake called inconclusive": 1,
        "fake called real": 2,
        "real called fake": 1,
        "real called inconclusive": 1,
        "real called real": 10,
    }


def test_the_overall_figures_are_of_the_generators_that_are_in_distribution() -> None:
    measured = report(rows(), CARD, in_distribution=["easy"])

    assert measured.metrics["recall_fake"].value == 1.0
    assert sum(measured.confusion.values()) == 18
    assert set(measured.auc_by_generator) == {"easy", "hard"}
    assert measured.set_apart == ["hard"]


def test_the_curves_of_the_page_are_of_the_same_scans_as_its_figures(tmp_path: Path) -> None:
    easy_alone = [row for row in rows() if row.generator != "hard"]
    whole, part = (report(r, CARD, in_distribution=["easy"]) for r in (rows(), easy_alone))

    write_report_page(tmp_path / "whole.html", whole, rows(), CARD)
    write_report_page(tmp_path / "part.html", part, easy_alone, CARD)

    drawings = "ROC|Precision|Reliability|Risk|Probabilities"
    shown = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    curves = {
        name: re.findall(rf'<svg role="img" aria-label="(?:{drawings}).*?</svg>', page, re.DOTALL)
        for name, page in shown.items()
    }
    assert len(curves["whole"]) == 5
    assert curves["whole"] == curves["part"]
    assert "fakes by hard stand by themselves" in shown["whole"]
    assert "stand by themselves" not in shown["part"]


@pytest.mark.parametrize("label", ["real", "fake"])
def test_a_set_with_one_class_is_reported_as_far_as_it_goes(label: str) -> None:
    measured = report([row for row in rows() if row.label == label], CARD)

    assert measured.metrics["auc"].value is None
    assert measured.metrics["coverage"].value is not None
    assert all(v.value is None for v in measured.auc_by_generator.values())
    assert bool(measured.false_alarms_by_source) == (label == "real")


def test_the_report_is_json_with_what_was_measured(measured: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "out", measured, CARD)

    read = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert read["detector"] == {"name": "tiny", "modality": "lung_ct", "sha256": "0" * 64}
    assert read["metrics"]["accuracy"]["value"] == measured.metrics["accuracy"].value
    assert read["confusion"]["fake called fake"] == 7
    assert set(read["metrics"]["accuracy"]) == {"value", "low", "high", "note"}


# --- edits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "size"),
    [
        (0.001, "under 0.25 % of the scan"),
        (0.0025, "0.25 to 1 % of the scan"),
        (0.03, "1 to 4 % of the scan"),
        (0.1599, "4 to 16 % of the scan"),
        (0.16, "over 16 % of the scan"),
        (0.8, "over 16 % of the scan"),
    ],
)
def test_edits_are_told_apart_by_their_share_of_the_scan(share: float, size: str) -> None:
    assert edit_size(a_row(0, 0.5, label="fake", edit_share=share)) == size


def test_an_edit_of_which_only_the_centre_is_known_has_no_size() -> None:
    assert edit_size(a_row(0, 0.5, label="fake", peak_in_mask="1")) == "size not known"
    assert edit_size(a_row(0, 0.5, label="fake")) == ""


def test_small_edits_stand_apart_from_large_ones() -> None:
    edits = [
        a_row(40 + i, 0.9 if share > 0.1 else 0.05, label="fake", generator="g", edit_share=share)
        for i, share in enumerate([0.3, 0.002, 0.4, 0.001])
    ]

    table = report([*rows(), *edits], CARD).by_edit_size

    assert list(table) == ["under 0.25 % of the scan", "over 16 % of the scan", "size not known"]
    assert table["under 0.25 % of the scan"]["recall_fake"].value == 0
    assert table["over 16 % of the scan"]["recall_fake"].value == 1


def test_iou_is_the_mean_over_the_edits_of_a_generator() -> None:
    edits = [
        a_row(40 + i, 0.9, label="fake", generator="g", peak_in_mask="1", iou=iou, edit_share=0.1)
        for i, iou in enumerate([0.0, 0.2, 0.7])
    ]

    measured = report([*rows(), *edits], CARD)

    assert measured.iou["g"].value == pytest.approx(0.3)
    assert measured.iou["hard"].value is None
    assert "only the edits' centres" in measured.iou["hard"].note
    assert "easy" not in measured.iou


# --- sources --------------------------------------------------------------------------------


def test_fakes_stand_against_the_authentic_scans_of_their_own_source() -> None:
    """All of one source score high, fakes and authentic scans alike: only the source is told."""
    found = [a_row(i, 0.1) for i in range(6)]
    found += [a_row(10 + i, 0.9, source="bright") for i in range(6)]
    found += [a_row(20 + i, 0.9, source="bright", label="fake", generator="g") for i in range(6)]

    measured = report(found, CARD)

    assert measured.auc_by_generator["g"].value == pytest.approx(0.75)
    assert measured.by_source["bright"]["auc"].value == pytest.approx(0.5)
    assert measured.by_source["bright"]["false_alarm_rate"].value == 1
    assert measured.by_source["drawn"]["auc"].value is None


def test_a_generator_s_own_figures_are_of_its_fakes(measured: Report) -> None:
    assert measured.by_generator["hard"]["recall_fake"].value == 0.5
    assert measured.by_generator["hard"]["miss_rate"].value == 0.5
    assert measured.by_generator["hard"]["coverage"].value == 0.75


def test_what_was_skipped_stands_in_the_file(measured: Report, tmp_path: Path) -> None:
    skipped = [Skipped(path="a.png", reason="It is damaged.")]

    write_report(tmp_path, replace(measured, skipped=skipped), CARD)

    read = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert read["skipped"] == [{"path": "a.png", "reason": "It is damaged.", "is_judged": False}]
