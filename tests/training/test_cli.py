import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.detection.labels import Verdict
from tests.factories import operating_point_for, png_bytes, publish_tiny_weights, truncated
from tests.training.lab import make_manifest, write_manifest
from training.cli import main

STAGES = ("prepare", "fakes", "train", "evaluate", "publish")
TINY_SYSTEM = """
name = "lung_ct_tiny"
dataset = "{dataset}"
seed = 1
image_size = 64
intended_use = "For tests only."
[architecture]
name = "plain_cnn"
arguments = {{ widths = [4] }}
[[phases]]
epochs = 1
steps_per_epoch = 1
crop_size = 32
batch_size = 4
learning_rate = 1e-3
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def assert_is_one_line(result: Result, *words: str) -> None:
    """Check that a failed command said what is wrong in one line, without a traceback."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in lines[0]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return make_manifest(tmp_path, 4)


def test_help_lists_the_stages_and_comes_at_once() -> None:
    """It does not load torch, which takes seconds."""
    code = (
        "import sys\nfrom training.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules, 'lightning' in sys.modules)"
    )

    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )

    for stage in STAGES:
        assert f"\n  {stage} " in process.stdout
    assert process.stdout.split()[-2:] == ["False", "False"]


def test_the_package_is_a_command() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "training", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert "The stages in order: prepare, fakes, train, evaluate, publish." in process.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_explains_its_options(stage: str) -> None:
    result = run(stage, "--help")

    assert result.exit_code == 0
    assert "Options:" in result.output


# --- errors ---------------------------------------------------------------------------------


def test_an_unknown_data_set_is_one_line(manifest: Path) -> None:
    result = run("prepare", "--dataset", "livers", "--manifest", manifest)

    assert_is_one_line(result, "livers", "knee_xray, ", "lung_ct, ")


def test_an_unknown_system_is_one_line() -> None:
    assert_is_one_line(run("train", "--system", "livers"), "livers", "lung_ct_efficientnet_b4")


def test_published_weights_need_the_phases_that_they_stand_for() -> None:
    result = run("train", "--system", "lung_ct_cnn1", "--published", "weights/lung_ct")

    assert result.exit_code == 2
    assert "--published and --after-phases go together" in result.output


def test_a_second_look_needs_the_weights_to_which_it_is_added() -> None:
    result = run("train", "--system", "knee_xray_mobilenet_v2", "--second-look", "weights/other")

    assert result.exit_code == 2
    assert "name them with --published" in result.output


@pytest.mark.parametrize(("member", "takes_up"), [(None, True), (0, True), (1, False)])
def test_published_weights_are_taken_up_by_one_of_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: int | None, takes_up: bool
) -> None:
    asked = []
    for stage in ("fakes.produce.read_dataset", "fakes.produce.read_companions"):
        monkeypatch.setattr(f"training.{stage}", lambda *_: [])
    monkeypatch.setattr("training.data.leakage.require_no_shortcut", lambda *_, **__: None)
    for stage in ("taking_up.take_up", "train.train"):
        monkeypatch.setattr(
            f"training.classifiers.{stage}",
            lambda *_, stage=stage, **options: asked.append((stage, options.get("member"))),
        )
    published = ("--published", "weights/lung_ct", "--after-phases", 1)
    numbered = () if member is None else ("--member", member)

    result = run(
        "train", "--system", "lung_ct_efficientnet_b4", *published, *numbered, "--runs", tmp_path
    )

    assert result.exit_code == 0, result.output
    assert asked == [("taking_up.take_up", None)] * takes_up + [("train.train", member)]


def test_a_missing_manifest_is_one_line(tmp_path: Path) -> None:
    result = run("prepare", "--dataset", "lung_ct", "--manifest", tmp_path / "none.csv")

    assert_is_one_line(result, "none.csv", "cannot be read")


def test_a_damaged_scan_is_one_line(tmp_path: Path, manifest: Path) -> None:
    (tmp_path / "scan1.png").write_bytes(truncated(png_bytes()))

    result = run(
        "prepare", "--dataset", "lung_ct", "--manifest", manifest, "--runs", tmp_path / "runs"
    )

    assert_is_one_line(result, "scan1.png", "damaged")


def test_shares_of_a_source_that_is_not_there_are_noticed(tmp_path: Path, manifest: Path) -> None:
    config = tmp_path / "own.toml"
    shares = "train = 0.5\nvalidation = 0.25\ntest = 0.25\n"
    config.write_text(
        f'name = "own"\nmodality = "lung_ct"\nseed = 1\n[sides]\n{shares}'
        f"[own_sides.drawn]\n{shares}[own_sides.ctgn]\n{shares}",
        encoding="utf-8",
    )

    result = run("prepare", "--dataset", config, "--manifest", manifest, "--runs", tmp_path)

    assert result.exit_code == 0
    assert "own_sides names 'ctgn', but no scan is from there." in result.stderr
    assert "'drawn'" not in result.stderr


def test_a_stage_out_of_order_is_one_line(tmp_path: Path) -> None:
    runs = ("--runs", tmp_path / "runs")

    for command in (
        ("fakes", "--dataset", "lung_ct"),
        ("train", "--system", "lung_ct_efficientnet_b4"),
        ("publish", "--system", "lung_ct_efficientnet_b4"),
    ):
        result = run(*command, *runs)
        assert_is_one_line(result, "python -m training prepare --dataset lung_ct")


def test_a_bad_config_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(TINY_SYSTEM.format(dataset="lung_ct") + "patiense = 1\n", encoding="utf-8")

    assert_is_one_line(run("train", "--system", config), "bad.toml", "patiense")


def test_weights_that_are_not_there_are_one_line(tmp_path: Path, manifest: Path) -> None:
    result = run("evaluate", "--weights", tmp_path / "weights", "--manifest", manifest)

    assert_is_one_line(result, "No weights are published for weights")


# --- evaluate -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    publish_tiny_weights(folder, "lung_ct", operating_point=operating_point_for(Verdict.FAKE))
    publish_tiny_weights(folder, "lung_ct", name="other.v2", seed=5)
    publish_tiny_weights(folder, "lung_ct")  # the active one again
    return folder


def external(folder: Path) -> Path:
    make_manifest(folder, 4, per_patient=2)
    rows = [
        {"path": f"scan{i}.png", "label": label, "source": source, "patient": f"p{i // 2}"}
        for i, (label, source) in enumerate(
            [("real", "here"), ("real", "there"), ("fake", "camera"), ("1", "camera")]
        )
    ]
    return write_manifest(folder / "external.csv", rows)


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ("lung_ct", "tiny"),
        ("lung_ct/tiny", "tiny"),
        ("lung_ct/tiny.json", "tiny"),
        ("lung_ct/tiny.safetensors", "tiny"),
        ("lung_ct/other.v2", "other.v2"),
    ],
)
def test_a_folder_means_its_active_checkpoint_and_a_name_means_itself(
    tmp_path: Path, weights: Path, chosen: str, name: str
) -> None:
    manifest, out = make_manifest(tmp_path, 1), tmp_path / "out"

    result = run("evaluate", "--weights", weights / chosen, "--manifest", manifest, "--out", out)

    assert result.exit_code == 0, result.output
    measured = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert measured["detector"]["name"] == name


def test_the_folder_may_be_the_one_that_the_command_is_run_in(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_manifest(tmp_path, 1)
    monkeypatch.chdir(weights / "lung_ct")

    result = run("evaluate", "--weights", ".", "--manifest", manifest, "--out", tmp_path / "out")

    assert result.exit_code == 0, result.output


def test_an_image_that_stands_twice_is_not_counted_twice(tmp_path: Path, weights: Path) -> None:
    manifest = make_manifest(tmp_path, 2)
    with manifest.open("a", encoding="utf-8") as file:
        file.write("scan1.png,real,drawn,p1\n")

    result = run("evaluate", "--weights", weights / "lung_ct", "--manifest", manifest)

    assert_is_one_line(result, "scan1.png is listed twice")


def test_any_manifest_with_four_columns_is_evaluated(tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "out"

    result = run(
        "evaluate", "--weights", weights / "lung_ct", "--manifest", external(tmp_path), "--out", out
    )

    assert result.exit_code == 0, result.output
    assert "AUC, camera" in result.output
    assert "false alarms, there" in result.output
    measured = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert set(measured["auc_by_generator"]) == {"camera"}
    lines = (out / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", *(f"scan{i}.png" for i in range(4))]


def test_what_is_undefined_is_shown_as_a_dash_with_its_reason(
    tmp_path: Path, weights: Path
) -> None:
    manifest = make_manifest(tmp_path, 2)

    out = tmp_path / "out"

    result = run("evaluate", "--weights", weights / "lung_ct", "--manifest", manifest, "--out", out)

    (line,) = (line for line in result.stdout.splitlines() if line.startswith("auc "))
    assert line.split(maxsplit=2) == ["auc", "–", "undefined on these 2 scans: none is fake"]
