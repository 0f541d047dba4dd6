"""Rows at a tiny size: real stages, real networks, drawn lungs."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.factories import png_bytes
from tests.training.lab import dataset_config, make_lung, write_manifest
from training.cli import main
from training.config import Budget, FakesConfig, load_dataset_config, load_system_config
from training.errors import NoDiagnosisError, StaleRunError
from training.fakes.base import create
from training.reproduction import class_fakes
from training.reproduction.accuracy_drop import accuracy_drop
from training.reproduction.laboratory import Laboratory, dataset_within
from training.reproduction.outcome import cut_in_words, read_outcome
from training.reproduction.run import EXPERIMENTS

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")

SCANS = 40
DATASET = """
name = "drawn_lungs"
modality = "lung_ct"
seed = 1
[sides]
train = 0.4
validation = 0.3
test = 0.3
[[fakes]]
generator = "dcgan"
[fakes.arguments]
output_side = 96
side = 16
width = 4
epochs = 2
batch_size = 8
"""
SYSTEM = """
name = "{name}"
dataset = "{dataset}"
seed = 1
image_size = 96
sampling = "epoch"
precision = "32-true"
cell_loss = 0.0
intended_use = "For tests only."
{more}
[architecture]
name = "plain_cnn"
arguments = {{ widths = [4, 8] }}
[[phases]]
epochs = 2
crop_size = 96
batch_size = 8
learning_rate = 1e-2
"""
GRADE = '[diagnosis]\ncolumn = "grade"\npositive = ["3"]'
ROWS = """
[[row]]
document = "000"
title = "Tiny CNN"
system = "{folder}/forger.toml"
place = "Table 1"
remark = "Other data."
[row.published]
accuracy = 0.9
recall_fake = 0.8
[[row]]
document = "000"
title = "Nobody"
system = "{folder}/nobody.toml"
place = "Table 1"
remark = "It is not there."
[row.published]
[[row]]
document = "004"
title = "Tiny grader"
system = "{folder}/grader.toml"
experiment = "accuracy_drop"
place = "Results"
remark = "Other data."
[row.published]
accuracy = 0.996
accuracy_on_fakes = 0.5
"""


@pytest.fixture(scope="module", autouse=True)
def few_class_fakes() -> Iterator[None]:
    """Let the fakes of each class be few, and their generators learn little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_fakes, "PER_CLASS", 12)
        patch.setattr(class_fakes, "EPOCHS", 1)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graded lungs (grade 3 is brighter), with the configs of two systems and the rows."""
    folder = tmp_path_factory.mktemp("reproduction")
    rows = []
    for number in range(SCANS):
        grade = "03"[number % 2]
        grey = np.clip(make_lung(number) + (0.2 if grade == "3" else 0), 0, 1)
        (folder / f"{number}.png").write_bytes(png_bytes(grey.astype(np.float32)))
        rows.append(
            {
                "path": f"{number}.png",
                "label": "real",
                "source": "drawn",
                "patient": f"p{number}",
                "grade": grade,
            }
        )
    write_manifest(folder / "manifest.csv", rows)
    dataset = folder / "drawn_lungs.toml"
    dataset.write_text(DATASET, encoding="utf-8")
    for name, more in {"forger": "", "grader": GRADE}.items():
        text = SYSTEM.format(name=name, dataset=dataset, more=more)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    (folder / "rows.toml").write_text(ROWS.format(folder=folder), encoding="utf-8")
    return folder


def reproduce(folder: Path, *arguments: object) -> Result:
    common = ("--rows", folder / "rows.toml", "--runs", folder / "runs", "--out", folder / "out")
    return CliRunner().invoke(main, ["reproduce", *(str(a) for a in (*common, *arguments))])


@pytest.fixture(scope="module")
def first(folder: Path, few_bootstrap_rounds: None, few_class_fakes: None) -> Result:
    """The first run, from nothing."""
    return reproduce(folder, "--manifest", folder / "manifest.csv")


def test_a_row_that_fails_is_shown_with_its_reason_and_stops_no_other(first: Result) -> None:
    assert first.exit_code == 1
    assert "Error: Not reproduced: " in first.stderr
    lines = {line.split("|")[2].strip(): line for line in first.stdout.splitlines() if "|" in line}
    assert "failed" in lines["Nobody"]
    assert "there is no such config" in first.stdout
    assert "as documented" in lines["Tiny CNN"]
    assert "0.996 → 0.500" in first.stdout


def test_nothing_but_the_table_goes_to_standard_output(first: Result) -> None:
    assert first.stdout.startswith("Our figures are of patients")
    assert "[3/3]" in first.stderr
    assert "Epoch" not in first.stdout


def test_the_file_holds_every_figure_beside_the_published_ones(folder: Path, first: Result) -> None:
    written = json.loads((folder / "out" / "reproduction.json").read_text("utf-8"))
    forger, nobody, grader = written["rows"]

    accuracy = forger["here"]["figures"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert forger["published"]["accuracy"] == 0.9
    assert forger["here"]["begins_from"] == "random"
    assert nobody["here"] is None
    assert nobody["failure"]
    assert set(grader["here"]["figures"]) == {
        "accuracy",
        "accuracy_on_fakes",
        "fall",
        "accuracy_at_low_resolution",
    }
    assert (folder / "out" / "reproduction.md").read_text("utf-8") == first.stdout


def test_a_second_run_repeats_nothing_and_says_the_same(folder: Path, first: Result) -> None:
    kept = [*(folder / "runs").rglob("*.safetensors"), *(folder / "runs").rglob("outcome.json")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    table = (folder / "out" / "reproduction.json").read_bytes()

    again = reproduce(folder)

    assert again.stdout == first.stdout
    assert (folder / "out" / "reproduction.json").read_bytes() == table
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_what_was_stopped_before_its_end_goes_on(folder: Path, first: Result) -> None:
    forger = folder / "runs" / "systems" / "forger"
    trained = (forger / "best.safetensors").stat().st_mtime_ns
    (forger / "reproduction" / "outcome.json").unlink()

    again = reproduce(folder)

    assert again.stdout == first.stdout
    assert (forger / "best.safetensors").stat().st_mtime_ns == trained


def test_one_system_can_be_chosen(folder: Path, first: Result) -> None:
    result = reproduce(folder, "--only", "004")

    assert result.exit_code == 0, result.output
    assert "Tiny grader" in result.stdout
    assert "Tiny CNN" not in result.stdout


def test_a_full_run_that_is_there_is_shown_in_place_of_one_cut_short(
    folder: Path, first: Result
) -> None:
    result = reproduce(folder, "--quick", "--only", str(folder / "forger"))

    assert result.exit_code == 0, result.output
    assert "as documented" in result.stdout


def test_a_row_of_settings_that_changed_since_is_not_passed_off_as_theirs(
    folder: Path, first: Result
) -> None:
    config = folder / "forger.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("seed = 1", "seed = 2"), encoding="utf-8")

    result = reproduce(folder, "--only", str(folder / "forger"))

    config.write_text(text, encoding="utf-8")
    assert result.exit_code == 1
    assert "was made with other settings" in result.stdout


def test_an_unforeseen_error_is_a_failed_row_and_written_down(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_arguments: object) -> None:
        raise RuntimeError("out of | memory")

    monkeypatch.setitem(EXPERIMENTS, "forgery", breaks)

    result = reproduce(folder, "--only", str(folder / "forger"), "--runs", tmp_path)

    assert result.exit_code == 1
    assert r"RuntimeError: out of \| memory" in result.stdout
    (file,) = tmp_path.rglob("error.txt")
    assert "Traceback" in file.read_text(encoding="utf-8")


def test_without_a_manifest_what_is_not_prepared_says_so_once(folder: Path, tmp_path: Path) -> None:
    result = reproduce(folder, "--runs", tmp_path)

    assert result.exit_code == 1
    assert result.stdout.count("prepare --dataset drawn_lungs") == 2


# --- the accuracy drop ----------------------------------------------------------------------


def test_the_fall_is_that_between_authentic_scans_and_fakes(folder: Path, first: Result) -> None:
    laboratory = Laboratory(runs_dir=folder / "runs")
    setting = laboratory.setting(str(folder / "grader.toml"))
    outcome = read_outcome(laboratory.system_paths(setting.system))
    assert outcome is not None
    figures = {name: figure.value for name, figure in outcome.figures.items()}

    assert figures["accuracy"] is not None
    assert figures["accuracy_on_fakes"] is not None
    assert figures["fall"] == pytest.approx(figures["accuracy"] - figures["accuracy_on_fakes"])
    assert accuracy_drop(setting, laboratory) == outcome


def test_each_class_has_fakes_of_its_own(folder: Path, first: Result) -> None:
    made = folder / "runs" / "datasets" / "drawn_lungs" / "class_fakes"

    assert {path.name for path in made.iterdir()} == {"grade-real", "grade-fake"}
    images = [sorted((path / "images").iterdir()) for path in made.iterdir()]
    assert [len(paths) for paths in images] == [12, 12]
    assert images[0][0].read_bytes() != images[1][0].read_bytes()


def test_the_command_alone_gives_the_same_figures(folder: Path, first: Result) -> None:
    arguments = ["--system", folder / "grader.toml", "--runs", folder / "runs"]

    result = CliRunner().invoke(main, ["accuracy-drop", *(str(a) for a in arguments)])

    assert result.exit_code == 0, result.output
    (row,) = (line for line in result.stdout.splitlines() if "grader" in line)
    (other,) = (line for line in first.stdout.splitlines() if "→" in line)
    assert cells(row)[1:] == cells(other)[3:]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_system_without_a_finding_has_no_accuracy_to_drop(folder: Path) -> None:
    laboratory = Laboratory(runs_dir=folder / "runs")

    with pytest.raises(NoDiagnosisError, match=r"forger learns forgery"):
        accuracy_drop(laboratory.setting(str(folder / "forger.toml")), laboratory)


# --- budgets --------------------------------------------------------------------------------


def test_what_a_budget_cuts_is_said_in_words() -> None:
    budget = Budget(
        max_epochs=2,
        max_steps_per_epoch=5,
        image_size=96,
        max_scans=30,
        max_generator_epochs=3,
        max_generator_steps=9,
    )
    laboratory = Laboratory(runs_dir=Path("runs"), budget=budget)

    assert cut_in_words(laboratory.setting("lung_ct_cnn1"), budget) == (
        "96 px, 2 epochs, 5 steps an epoch, 30 scans a side, generators 3 epochs or 9 steps"
    )
    assert cut_in_words(laboratory.setting("lung_ct_cnn1", Budget()), Budget()) == ""


def test_a_budget_makes_a_data_set_of_its_own_with_cheaper_generators() -> None:
    config = dataset_config(
        fakes=[
            FakesConfig(generator="dcgan", arguments={"epochs": 120, "width": 8}),
            FakesConfig(generator="inpainting_gan", arguments={"steps": 3}),
        ]
    )
    budget = Budget(max_epochs=1, max_scans=50, max_generator_epochs=10, max_generator_steps=100)

    cut = dataset_within(config, budget)

    assert cut.name == "drawn_lungs-50scans-10generator-epochs-100generator-steps"
    assert cut.max_scans == 50
    assert [f.arguments for f in cut.fakes] == [{"epochs": 10, "width": 8}, {"steps": 3}]
    assert dataset_within(config, Budget()) == config


def test_a_generator_is_cut_short_even_where_its_config_leaves_the_length_open() -> None:
    budget = Budget(max_scans=30, max_generator_epochs=3, max_generator_steps=9)
    laboratory = Laboratory(runs_dir=Path("runs"), budget=budget)

    for system in ("lung_ct_efficientnet_b4", "knee_xray_efficientnet_b4"):
        for fakes in laboratory.setting(system).dataset.fakes:
            generator = create(fakes.generator, fakes.arguments)
            assert getattr(generator, "steps", 9) == 9
            assert getattr(generator, "epochs", 3) == 3
            assert fakes.per_real == 1


def test_another_budget_never_overwrites_a_run(folder: Path, first: Result) -> None:
    laboratory = Laboratory(runs_dir=folder / "runs", budget=Budget(max_epochs=1))
    setting = laboratory.setting(str(folder / "forger.toml"))

    assert setting.system.name != load_system_config(str(folder / "forger.toml")).name
    assert setting.dataset == load_dataset_config(str(folder / "drawn_lungs.toml"))


def test_a_run_with_other_settings_is_refused(folder: Path, first: Result) -> None:
    laboratory = Laboratory(runs_dir=folder / "runs")
    setting = laboratory.setting(str(folder / "forger.toml"))
    config = folder / "other.toml"
    text = (folder / "forger.toml").read_text("utf-8").replace("seed = 1", "seed = 2")
    config.write_text(text, encoding="utf-8")

    with pytest.raises(StaleRunError):
        laboratory.train(laboratory.setting(str(config)), laboratory.scans(setting.dataset))
