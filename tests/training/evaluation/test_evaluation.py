import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from app.detection.verdict import OperatingPoint
from tests.factories import png_bytes, truncated
from tests.training.evaluation_lab import DETECTOR
from tests.training.lab import a_scan, write_dataset
from training.data.manifest import Scan
from training.errors import TooFewScansError
from training.evaluation.evaluation import (
    Evaluation,
    Options,
    evaluate,
    read_history,
    write_evaluation,
)
from training.evaluation.predict import judge
from training.evaluation.prediction_file import read_predictions
from training.evaluation.robustness import VARIATIONS, Sample

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def scans(folder: Path) -> list[Scan]:
    (folder / "bad.png").write_bytes(truncated(png_bytes()))
    return [*write_dataset(folder, train=7, validation=0), a_scan(folder / "bad.png")]


@pytest.fixture(scope="module")
def evaluation(folder: Path, scans: list[Scan], few_bootstrap_rounds: None) -> Evaluation:
    options = Options(robustness=Sample(scans=6), control_sides=(16,), examples=2)
    middle = float(np.median([row.logit for row in judge(DETECTOR, scans, folder / "m").rows]))
    point = OperatingPoint(
        temperature=0.01, bias=middle, threshold=0.5, inconclusive_band=(0.4, 0.6)
    )
    decisive = replace(DETECTOR, card=replace(DETECTOR.card, operating_point=point))
    return evaluate(decisive, scans, folder / "m.csv", options)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, folder: Path) -> str:
    run = folder / "run"
    (run / "phase0").mkdir(parents=True)
    epochs = [{"epoch": 0, "loss": 0.7}, {"epoch": 1, "loss": 0.4, "validation_auc": 0.9}]
    text = "\n".join(json.dumps(epoch) for epoch in epochs)
    (run / "phase0" / "history.jsonl").write_text(text, encoding="utf-8")
    write_evaluation(folder / "out", evaluation, run=run)
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_everything_is_written(page: str, folder: Path, evaluation: Evaluation) -> None:
    names = {path.name for path in (folder / "out").iterdir()}

    assert names == {
        "metrics.json",
        "predictions.csv",
        "changed_predictions.csv",
        "report.html",
    }
    assert read_predictions(folder / "out" / "predictions.csv") == evaluation.rows
    changed = read_predictions(folder / "out" / "changed_predictions.csv")
    assert {row.variation for row in changed} == {*VARIATIONS, "through 16 pixels"}


def test_a_damaged_image_is_listed_and_the_rest_measured(
    evaluation: Evaluation, scans: list[Scan], page: str, folder: Path
) -> None:
    written = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))

    assert len(evaluation.rows) == len(scans) - 1
    assert [one["path"] for one in written["skipped"]] == ["bad.png"]
    assert "bad.png: The PNG image is damaged" in page


def test_the_fall_of_everyday_changes_is_a_figure_that_a_gate_can_ask_for(
    page: str, folder: Path
) -> None:
    written = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))

    assert set(written["robustness"]["worst_fall"]) == {"value", "low", "high", "note"}
    assert set(written["robustness"]["variations"]) == set(VARIATIONS)
    assert set(written["controls"]["through 16 pixels"]) == {"blocks", "false alarms"}


def test_where_no_image_can_be_read_there_is_nothing_to_measure(folder: Path) -> None:
    with pytest.raises(TooFewScansError, match=r"None of the 1 images .* bad\.png: The PNG"):
        evaluate(DETECTOR, [a_scan(folder / "bad.png")], folder / "m.csv")


def test_one_class_is_measured_as_far_as_it_goes(scans: list[Scan], tmp_path: Path) -> None:
    reals = [scan for scan in scans if not scan.generator][:3]

    found = evaluate(DETECTOR, reals, tmp_path / "m.csv")
    write_evaluation(tmp_path / "out", found)

    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "There are no fakes among these scans." in page
    assert "There is one class only" in page


def test_a_second_evaluation_leaves_nothing_of_the_first(
    scans: list[Scan], evaluation: Evaluation, tmp_path: Path
) -> None:
    write_evaluation(tmp_path, evaluation)

    write_evaluation(tmp_path, evaluate(DETECTOR, scans[:2], tmp_path / "m.csv"))

    assert not (tmp_path / "changed_predictions.csv").exists()


# --- the page -------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.nameless: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        for name in ("src", "href", "xlink:href"):
            self.addresses += [given[name] or ""] if name in given else []
        if (tag == "img" and not given.get("alt")) or (
            tag == "svg" and not given.get("aria-label")
        ):
            self.nameless.append(tag)


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    return outline


def test_the_page_needs_nothing_from_elsewhere(outline: Outline, page: str) -> None:
    assert {"script", "link", "iframe", "object"}.isdisjoint(outline.tags)
    assert all(address.startswith(("#", "data:image/png;")) for address in outline.addresses)
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_link_within_the_page_has_its_end(outline: Outline) -> None:
    ends = {address[1:] for address in outline.addresses if address.startswith("#")}

    assert ends <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_every_figure_says_what_it_is_to_those_who_cannot_see_it(outline: Outline) -> None:
    assert outline.tags.count("svg") >= 9
    assert outline.nameless == []


@pytest.mark.parametrize(
    "title",
    [
        "Confusion matrix",
        "ROC curve",
        "Precision and recall",
        "Reliability",
        "Risk and coverage",
        "Fakes, by generator",
        "Authentic scans, by source",
        "Local edits, by size",
        "What harmless changes cost",
        "Controls: coarse, or synthetic?",
        "Loss",
        "Accuracy and AUC",
        "Examples",
        "All figures",
    ],
)
def test_the_page_shows(page: str, title: str) -> None:
    assert re.search(rf"<(h2|h3|caption)[^>]*>{re.escape(title)}<", page)


def test_the_page_begins_with_plain_sentences(page: str, evaluation: Evaluation) -> None:
    counts = evaluation.report.confusion
    called = 100 * counts.get("real called fake", 0) / 7

    assert f"Of 100 authentic scans, {called:.0f} are called fake" in page


def test_examples_are_shown_with_what_was_said_of_them(page: str) -> None:
    assert page.count("<img ") >= 4
    assert "the edit outlined" in page


def test_figures_follow_the_theme(page: str) -> None:
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))

    assert "var(--accent)" in svgs
    assert not re.search(r"(fill|stroke): #(?!none)", svgs)


def test_names_from_a_manifest_cannot_become_markup(folder: Path, tmp_path: Path) -> None:
    rude = a_scan(folder / "real0.png", source="<script>alert(1)</script>")

    write_evaluation(tmp_path, evaluate(DETECTOR, [rude], tmp_path / "m.csv"))

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


# --- the history of a run -------------------------------------------------------------------


def test_phases_follow_each_other_and_a_repeated_epoch_counts_once(tmp_path: Path) -> None:
    for phase, epochs in (("phase0", [0, 1, 1]), ("phase1", [0]), ("phase10", [0])):
        (tmp_path / phase).mkdir()
        lines = [json.dumps({"epoch": e, "loss": n}) for n, e in enumerate(epochs)]
        (tmp_path / phase / "history.jsonl").write_text("\n".join(lines), encoding="utf-8")

    rows = read_history(tmp_path)

    assert [row["epoch"] for row in rows] == [0, 1, 0, 0]
    assert rows[1]["loss"] == 2


def test_a_run_without_a_history_has_no_curves(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
