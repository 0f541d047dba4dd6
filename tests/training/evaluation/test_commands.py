import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.factories import png_bytes, publish_tiny_weights, truncated
from tests.training.lab import make_lung, write_dataset, write_manifest
from training.cli import main
from training.data.manifest import write_index

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# --- evaluate -------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest of readable scans and, where asked for, of others."""

    def write(**others: bytes) -> Path:
        rows = []
        for number in range(12):
            (tmp_path / f"{number}.png").write_bytes(png_bytes(make_lung(number)))
            label = "fake" if number % 2 else "real"
            row = {"path": f"{number}.png", "label": label, "source": "drawn", "patient": number}
            rows.append(row)
        for name, data in others.items():
            (tmp_path / name).write_bytes(data)
            rows.append({"path": name, "label": "real", "source": "drawn", "patient": name})
        return write_manifest(tmp_path / "manifest.csv", rows)

    return write


def evaluate(tmp_path: Path, manifest: Path, *options: object) -> Result:
    publish_tiny_weights(tmp_path / "weights", "lung_ct")
    return run(
        "evaluate",
        "--weights",
        tmp_path / "weights" / "lung_ct",
        "--manifest",
        manifest,
        "--out",
        tmp_path / "out",
        *options,
    )


def test_everything_that_can_be_judged_gives_exit_code_0(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    said = evaluate(tmp_path, manifest())

    assert said.exit_code == 0, said.output
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in said.output
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_damaged_image_does_not_stop_the_others_but_shows_in_the_exit_code(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    said = evaluate(tmp_path, manifest(bad=truncated(png_bytes()), empty=b""))

    assert said.exit_code == 3
    assert "2 images were not judged:" in said.output
    assert "bad: The PNG image is damaged" in said.output
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert [one["path"] for one in measured["skipped"]] == ["bad", "empty"]
    assert sum(measured["confusion"].values()) == 12


def test_the_list_of_damaged_images_stays_short(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    said = evaluate(tmp_path, manifest(**{f"bad{n}": b"no image" for n in range(13)}))

    assert "… and 3 more, see metrics.json" in said.output


def test_robustness_is_measured_where_it_is_asked_for(
    tmp_path: Path, manifest: Callable[..., Path]
) -> None:
    plain = evaluate(tmp_path, manifest())
    without = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    said = evaluate(tmp_path, manifest(), "--robustness", 4, "--control-side", 16)
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))

    assert (plain.exit_code, said.exit_code) == (0, 0), said.output
    assert without["robustness"] is None
    assert "worst_fall" in measured["robustness"]
    assert list(measured["controls"]) == ["through 16 pixels"]
    assert "most balanced accuracy lost" in said.output
    assert "authentic through 16 pixels: false alarms" in said.output
    assert sum(measured["verdicts"]["authentic, drawn, through 16 pixels"].values()) == 6


def judge(tmp_path: Path, *options: object) -> Result:
    publish_tiny_weights(tmp_path / "weights", "lung_ct")
    weights, out = tmp_path / "weights" / "lung_ct", tmp_path / "out"
    return run("evaluate", "--weights", weights, "--out", out, *options)


def write_folder(root: Path) -> Path:
    """Write authentic pictures, and as many by each of two generators."""
    folders = ("real", "fake/stylegan", "fake/diffusion")
    for number in range(12):
        path = root / folders[number % 3] / f"p{number}_left.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(make_lung(number)))
    return root


def test_a_folder_of_fakes_is_judged_by_one_command(tmp_path: Path) -> None:
    said = judge(tmp_path, "--folder", write_folder(tmp_path / "brought"))

    assert said.exit_code == 0, said.output
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(measured["auc_by_generator"]) == {"stylegan", "diffusion"}
    assert {group: sum(v.values()) for group, v in measured["verdicts"].items()} == {
        "authentic, brought": 4,
        "fake, diffusion": 4,
        "fake, stylegan": 4,
    }
    assert "| fake, stylegan " in said.output


def test_fakes_without_authentic_scans_still_get_their_verdicts(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "brought")
    shutil.rmtree(root / "real")

    said = judge(tmp_path, "--folder", root)

    assert said.exit_code == 0, said.output
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert measured["metrics"]["auc"]["value"] is None
    assert sum(measured["verdicts"]["fake, diffusion"].values()) == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "Name one of --manifest, --folder and --dataset"),
        (("--folder", ".", "--dataset", "lung_ct"), "Name one of"),
        (("--folder", "."), "neither real/ nor fake/"),
        (("--dataset", "knee_xray"), "Name weights below weights/knee_xray"),
        (("--dataset", "nowhere"), "there is no such config"),
    ],
)
def test_what_cannot_be_judged_is_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)

    said = judge(tmp_path, *options)

    assert said.exit_code in (1, 2)
    assert problem in " ".join(said.output.split())
    assert "Traceback" not in said.output


# --- leave-one-out --------------------------------------------------------------------------

DATASET = """
name = "drawn_lungs"
modality = "lung_ct"
seed = 1
[sides]
train = 0.5
validation = 0.25
test = 0.25
"""

SYSTEM = """
name = "lung_ct_tiny"
dataset = "{dataset}"
seed = 1
image_size = 64
precision = "32-true"
intended_use = "For tests only."
max_error_outside_band = 0.2
[architecture]
name = "plain_cnn"
arguments = {{ widths = [8, 16] }}
[[phases]]
epochs = 1
steps_per_epoch = 3
crop_size = 32
batch_size = 8
learning_rate = 1e-2
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "drawn_lungs.toml").write_text(DATASET, encoding="utf-8")
    system = SYSTEM.format(dataset=folder / "drawn_lungs.toml")
    (folder / "tiny.toml").write_text(system, encoding="utf-8")
    scans = write_dataset(folder, train=10, validation=22, test=8)
    write_index(folder / "runs" / "datasets" / "drawn_lungs" / "scans.csv", scans)
    return folder


def test_a_side_of_a_prepared_data_set_is_judged(laboratory: Path, tmp_path: Path) -> None:
    dataset = ("--dataset", laboratory / "drawn_lungs.toml", "--runs", laboratory / "runs")
    said = judge(tmp_path, *dataset, "--side", "test")

    assert said.exit_code == 0, said.output
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert sum(measured["verdicts"]["authentic, drawn"].values()) == 8
    rows = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) - 1 == sum(sum(v.values()) for v in measured["verdicts"].values())


def leave_one_out(laboratory: Path, *options: object) -> Result:
    system = ("--system", laboratory / "tiny.toml")
    return run("leave-one-out", *system, "--runs", laboratory / "runs", *options)


def test_one_generator_is_left_out_by_name_and_the_others_by_default(laboratory: Path) -> None:
    file = laboratory / "runs" / "systems" / "lung_ct_tiny" / "leave_one_out.json"

    first = leave_one_out(laboratory, "--generator", "square", "--accelerator", "cpu")
    after_first = json.loads(file.read_text(encoding="utf-8"))
    rest = leave_one_out(laboratory, "--accelerator", "cpu")
    after_all = json.loads(file.read_text(encoding="utf-8"))

    assert (first.exit_code, rest.exit_code) == (0, 0), first.output + rest.output
    assert "not measured yet: blocks" in first.output
    assert after_first["logo_worst_auc"]["value"] is None
    assert after_all["logo_worst_auc"]["value"] is not None
    assert set(after_all["generators"]) == {"blocks", "square"}
    assert "worst AUC, generators" in rest.output


def test_a_budget_gives_a_folder_of_its_own(laboratory: Path) -> None:
    said = leave_one_out(laboratory, "--generator", "square", "--max-steps-per-epoch", 2)

    assert said.exit_code == 0, said.output
    folders = {path.parent.name for path in laboratory.rglob("leave_one_out.json")}
    assert "lung_ct_tiny" in folders
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--generator", "nobody"), "There is no generator 'nobody' to leave out"),
        (("--source", "nobody"), "There is no source 'nobody' to leave out"),
        (("--every-source",), "there is nothing left to train on"),
    ],
)
def test_what_cannot_be_left_out_is_one_plain_line(
    laboratory: Path, options: tuple[str, ...], problem: str
) -> None:
    said = leave_one_out(laboratory, *options)

    assert said.exit_code == 1
    assert problem in said.output
    assert "Traceback" not in said.output
