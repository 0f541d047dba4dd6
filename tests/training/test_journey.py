"""From pictures to a verdict: every stage by its command, then the real engine."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from app.detection.card import read_card
from app.detection.decoding import decode
from app.detection.labels import Label, Verdict
from app.detection.spec import modality
from app.engine.engine import InProcessEngine
from tests.training.lab import make_manifest
from training.cli import main
from training.config import load_dataset_config
from training.data.manifest import Scan
from training.fakes.produce import read_dataset
from training.runs import dataset_paths

SCANS = 60

DATASET = """
name = "drawn_lungs"
modality = "lung_ct"
seed = 1
[sides]
train = 0.3
validation = 0.35
test = 0.35
[[fakes]]
generator = "dcgan"
[fakes.arguments]
output_side = 96
side = 16
width = 8
epochs = 10
[[fakes]]
generator = "inpainting_gan"
[fakes.arguments]
sites = "lung"
min_side = 20
max_side = 24
patches_per_scan = 2
steps = 5
batch_size = 4
"""

SYSTEM = """
name = "lung_ct_journey"
dataset = "{dataset}"
seed = 1
image_size = 64
precision = "32-true"
local_share = 0.5
max_error_outside_band = 0.05
intended_use = "For tests only."
[minimums]
auc = 0.7
[architecture]
name = "plain_cnn"
arguments = {{ widths = [8, 16, 32] }}
[augmentation]
window = 0.2
blur = 0.0
resample = 0.0
[[phases]]
epochs = 6
steps_per_epoch = 20
crop_size = 32
batch_size = 16
learning_rate = 1e-2
[[phases]]
epochs = 6
steps_per_epoch = 20
crop_size = 64
batch_size = 16
learning_rate = 3e-3
"""


def accepted() -> list[str]:
    """Return options for fakes that a DCGAN made after seconds: grey all over, with black rims."""
    columns = ("file_size", "mean", "variance", "border", "corners", "together")
    return [part for column in columns for part in ("--accept-shortcut", column)]


@dataclass(frozen=True)
class Laboratory:
    """Where the journey takes place."""

    folder: Path
    manifest: Path
    dataset: Path
    system: Path

    def run(self, stage: str, *arguments: object) -> str:
        """Run a stage and return what it said."""
        result = CliRunner().invoke(main, [stage, *(str(a) for a in arguments)])
        assert result.exit_code == 0, result.output
        return result.output

    def scans(self) -> list[Scan]:
        """Return the scans and fakes of all sides."""
        config = load_dataset_config(str(self.dataset))
        return read_dataset(config, dataset_paths(self.folder / "runs", config.name))


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory, few_bootstrap_rounds: None) -> Laboratory:
    """Pictures that went through every stage up to published weights."""
    folder = tmp_path_factory.mktemp("laboratory")
    dataset, system = folder / "drawn_lungs.toml", folder / "journey.toml"
    dataset.write_text(DATASET, encoding="utf-8")
    system.write_text(SYSTEM.format(dataset=dataset), encoding="utf-8")
    here = Laboratory(folder, make_manifest(folder, SCANS), dataset, system)
    runs = ("--runs", folder / "runs")
    here.run("prepare", "--dataset", dataset, "--manifest", here.manifest, *runs)
    here.run("fakes", "--dataset", dataset, *runs)
    here.run("train", "--system", system, *accepted(), *runs)
    here.run("publish", "--system", system, "--weights", folder / "weights", *runs)
    return here


@pytest.fixture
def engine(laboratory: Laboratory) -> Iterator[InProcessEngine]:
    engine = InProcessEngine(
        laboratory.folder / "weights", max_queue=8, max_batch=4, device="cpu", threads=1
    )
    engine.start()
    yield engine
    engine.stop()


def test_the_stages_lead_to_weights_with_a_card(laboratory: Laboratory) -> None:
    card = read_card(laboratory.folder / "weights" / "lung_ct" / "journey.json")

    auc = card.metrics["auc"].value
    assert auc is not None
    assert auc > 0.7
    assert set(card.metrics_by_generator) == {"dcgan", "inpainting_gan"}
    assert {source.name: source.use for source in card.data} == {
        "dcgan (made here)": "train, validation, test",
        "drawn": "train, validation, test",
        "inpainting_gan (made here)": "train, validation, test",
    }


def test_fakes_that_give_themselves_away_train_nothing_unless_that_is_accepted(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    system = tmp_path / "another.toml"
    text = laboratory.system.read_text(encoding="utf-8")
    system.write_text(text.replace("lung_ct_journey", "another"), encoding="utf-8")

    result = CliRunner().invoke(
        main, ["train", "--system", str(system), "--runs", str(laboratory.folder / "runs")]
    )

    assert result.exit_code == 1
    assert "told apart without seeing the anatomy, by" in result.stderr
    assert "mean (AUC" in result.stderr


def test_fakes_stand_on_every_side(laboratory: Laboratory) -> None:
    counts = Counter((s.side, s.generator) for s in laboratory.scans())

    for side in ("train", "validation", "test"):
        assert counts[side, ""] == counts[side, "dcgan"]
        assert counts[side, "inpainting_gan"] > 0.8 * counts[side, ""]


def test_the_engine_judges_authentic_scans_and_fakes_with_them(
    laboratory: Laboratory, engine: InProcessEngine
) -> None:
    test = [s for s in laboratory.scans() if s.side == "test" and s.generator != "inpainting_gan"]
    said: dict[Label, list[float]] = {Label.REAL: [], Label.FAKE: []}
    verdicts: list[tuple[Label, Verdict]] = []

    for scan in test:
        grey = decode(scan.path.read_bytes(), modality("lung_ct")).grey
        judgement = engine.submit("lung_ct", grey).result(timeout=60)
        assert judgement.finding.probability_fake is not None
        assert judgement.heatmap is not None
        said[scan.label].append(judgement.finding.probability_fake)
        verdicts.append((scan.label, judgement.finding.verdict))
        assert judgement.finding.weights_name == "journey"
        assert np.isfinite(judgement.heatmap).all()

    assert np.mean(said[Label.REAL]) < 0.5 < np.mean(said[Label.FAKE])
    assert (Label.REAL, Verdict.FAKE) not in verdicts
    assert (Label.FAKE, Verdict.FAKE) in verdicts


def test_published_weights_are_evaluated_on_another_manifest(laboratory: Laboratory) -> None:
    fakes = laboratory.folder / "runs" / "datasets" / "drawn_lungs" / "fakes"

    said = laboratory.run(
        "evaluate",
        "--weights",
        laboratory.folder / "weights" / "lung_ct",
        "--manifest",
        fakes / "inpainting_gan" / "fakes.csv",
        "--out",
        laboratory.folder / "external",
    )

    assert "pointing game, inpainting_gan" in said
    assert (laboratory.folder / "external" / "predictions.csv").is_file()


def test_a_second_run_of_the_stages_repeats_nothing(laboratory: Laboratory) -> None:
    runs = ("--runs", laboratory.folder / "runs")
    before = {p: p.stat().st_mtime_ns for p in (laboratory.folder / "runs").rglob("*.p[nt]*")}

    laboratory.run(
        "prepare", "--dataset", laboratory.dataset, "--manifest", laboratory.manifest, *runs
    )
    laboratory.run("fakes", "--dataset", laboratory.dataset, *runs)
    said = laboratory.run("train", "--system", laboratory.system, *runs)

    assert re.search(r"Best checkpoint: .+ \(of a finished run\)", said)
    assert before == {p: p.stat().st_mtime_ns for p in before}
