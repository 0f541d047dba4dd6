import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from app.detection.card import read_card
from tests.factories import publish_tiny_weights
from training.cli import main
from training.errors import PredictionsError, ScansDifferError
from training.evaluation.compare import compare_systems, find_system
from training.evaluation.prediction_file import Prediction, write_predictions
from training.runs import system_paths


@pytest.fixture(autouse=True)
def few_rounds(few_bootstrap_rounds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.paired.ROUNDS", 40)


def predictions(seed: int, *, strength: float, count: int = 60) -> list[Prediction]:
    """Draw what a detector says of authentic scans and of two generators' fakes."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        generator = ("", "dcgan", "square")[number % 3]
        score = rng.normal() + (strength if generator else -strength)
        probability = float(1 / (1 + np.exp(-score)))
        rows.append(
            Prediction(
                path=f"scans/{number}.png",
                label="fake" if generator else "real",
                source="drawn",
                generator=generator,
                person=f"drawn/p{number // 2}",
                logit=score,
                probability=probability,
                verdict="fake" if probability > 0.5 else "real",
                peak_x=0,
                peak_y=0,
                peak_in_mask="",
            )
        )
    return rows


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two evaluated systems: ``weak`` and ``strong``."""
    for seed, (name, strength) in enumerate({"weak": 0.3, "strong": 2.0}.items()):
        folder = system_paths(tmp_path / "runs", name).evaluation_dir
        write_predictions(folder / "predictions.csv", predictions(seed, strength=strength))
    return tmp_path / "runs"


def compare(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *(str(a) for a in arguments)])


def test_two_systems_stand_side_by_side(runs: Path, tmp_path: Path) -> None:
    result = compare("weak", "strong", "--runs", runs, "--out", tmp_path / "out")

    assert result.exit_code == 0, result.output
    head, _, first, *_ = result.stdout.splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "metric",
        "weak",
        "strong",
        "difference",
        "p",
        "test",
    ]
    assert first.startswith("| auc ")
    assert "DeLong" in first
    assert "auc, dcgan" in result.stdout
    assert "McNemar" in result.stdout
    assert (tmp_path / "out" / "comparison.md").read_text("utf-8") == result.stdout


def test_what_is_written_holds_every_figure_with_its_interval(runs: Path, tmp_path: Path) -> None:
    compare("weak", "strong", "weak", "--runs", runs, "--out", tmp_path)

    first, second = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert (first["first"], first["second"], second["second"]) == ("weak", "strong", "weak")
    auc = first["metrics"]["auc"]
    assert auc["first"]["low"] < auc["first"]["value"] < auc["first"]["high"]
    assert auc["difference"]["low"] > 0
    assert set(first["auc_by_generator"]) == {"dcgan", "square"}
    assert second["metrics"]["auc"]["difference"]["value"] == 0
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["difference_value"]) == auc["difference"]["value"]
    assert {row["metric"] for row in rows} >= {"auc", "accuracy", "auc, dcgan", "auc, square"}


def test_the_same_comparison_gives_the_same_files(runs: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        compare("weak", "strong", "--runs", runs, "--out", tmp_path / folder)

    for name in ("comparison.json", "comparison.md", "comparison.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_order_of_the_scans_does_not_matter(runs: Path, tmp_path: Path) -> None:
    path = system_paths(runs, "strong").evaluation_dir / "predictions.csv"
    head, *lines = path.read_text("utf-8").splitlines()
    other = tmp_path / "other.csv"
    other.write_text("\n".join([head, *lines[::-1]]) + "\n", encoding="utf-8")

    systems = [find_system("strong", runs), find_system(str(other), runs)]
    (pair,) = compare_systems(systems)

    assert pair.metrics["auc"].difference.value == 0


def test_a_folder_or_a_file_is_as_good_as_a_name(runs: Path) -> None:
    folder = system_paths(runs, "weak").evaluation_dir

    for run in ("weak", folder, folder / "predictions.csv"):
        assert len(find_system(str(run), runs).rows) == 60


# --- refusals -------------------------------------------------------------------------------


def test_other_scans_are_refused_with_the_first_that_is_missing(runs: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "fewer.csv", predictions(1, strength=1.0, count=58))

    result = compare("weak", tmp_path / "fewer.csv", "--runs", runs)

    assert result.exit_code == 1
    assert "fewer.csv was not measured on 'scans/58.png' and 1 more, weak was." in result.output
    write_predictions(tmp_path / "more.csv", predictions(1, strength=1.0, count=61))
    systems = [find_system("weak", runs), find_system(str(tmp_path / "more.csv"), runs)]
    with pytest.raises(ScansDifferError, match=r"weak was not measured on 'scans/60\.png'"):
        compare_systems(systems)


def test_labels_that_contradict_each_other_are_refused(runs: Path, tmp_path: Path) -> None:
    rows = predictions(0, strength=1.0)
    rows[5] = replace(rows[5], label="real")
    write_predictions(tmp_path / "other.csv", rows)

    result = compare("weak", tmp_path / "other.csv", "--runs", runs)

    assert result.exit_code == 1
    assert "'scans/5.png' is real" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "scans/0.png"}, "row 7: 'scans/0.png' stands there twice"),
        ({"probability": 1.5}, "row 7: probability 1.5 is not within 0 and 1"),
        ({"probability": float("nan")}, "row 7: probability nan is not within 0 and 1"),
        ({"label": "maybe"}, "row 7: label 'maybe' is not real or fake"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    rows = predictions(0, strength=1.0)
    rows[5] = replace(rows[5], **change)  # type: ignore[arg-type] # any field may be wrong
    write_predictions(tmp_path / "bad.csv", rows)

    with pytest.raises(PredictionsError, match=message):
        find_system(str(tmp_path / "bad.csv"), tmp_path)


def test_a_file_without_scans_and_a_system_that_is_not_there_are_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "empty.csv", [])

    with pytest.raises(PredictionsError, match="there is no scan in it"):
        find_system(str(tmp_path / "empty.csv"), tmp_path)
    with pytest.raises(PredictionsError, match=r"livers: there is no .*predictions\.csv"):
        find_system("livers", tmp_path)


def test_one_system_is_nothing_to_compare() -> None:
    result = compare("weak")

    assert result.exit_code == 2
    assert "two systems or more" in result.output


# --- published weights ----------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    publish_tiny_weights(tmp_path / "weights", "lung_ct", training={"system": "weak"})
    return tmp_path / "weights" / "lung_ct" / "tiny"


def says_it_measured(runs: Path, sha256: str) -> None:
    content = json.dumps({"detector": {"sha256": sha256}})
    path = system_paths(runs, "weak").evaluation_dir / "metrics.json"
    path.write_text(content, encoding="utf-8")


def test_published_weights_stand_for_what_was_measured_of_them(runs: Path, weights: Path) -> None:
    says_it_measured(runs, read_card(weights.with_suffix(".json")).sha256)

    for suffix in ("", ".json", ".safetensors"):
        assert len(find_system(f"{weights}{suffix}", runs).rows) == 60


def test_a_measurement_of_other_weights_is_not_taken_for_theirs(runs: Path, weights: Path) -> None:
    says_it_measured(runs, "0" * 64)

    with pytest.raises(PredictionsError, match="is of other weights; measure them with"):
        find_system(str(weights), runs)
    shutil.rmtree(system_paths(runs, "weak").root)
    with pytest.raises(PredictionsError, match="has no evaluation; measure them with"):
        find_system(str(weights), runs)
