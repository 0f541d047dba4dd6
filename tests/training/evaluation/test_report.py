import json
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_card
from training.evaluation.metrics import METRICS
from training.evaluation.predict import Prediction
from training.evaluation.report import Report, report, write_report

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")

CARD = make_card()  # threshold 0.5, inconclusive from 0.3 to 0.7


def a_row(number: int, probability: float, **changes: Any) -> Prediction:
    fields: dict[str, Any] = {
        "path": f"{number}.png",
        "label": "real",
        "source": "drawn",
        "generator": "",
        "person": f"drawn/{number}",
        "logit": 0.0,
        "probability": probability,
        "verdict": CARD.operating_point.verdict(probability).value,
        "peak_x": 1,
        "peak_y": 1,
        "peak_in_mask": "",
    }
    return Prediction(**(fields | changes))


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


def test_the_pointing_game_is_that_of_local_edits(measured: Report) -> None:
    assert {k: v.value for k, v in measured.pointing_game.items()} == {"hard": 3 / 4}


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
