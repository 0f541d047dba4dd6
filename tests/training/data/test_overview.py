from pathlib import Path

import pytest
from click.testing import CliRunner

from app.detection.labels import Label
from tests.factories import png_bytes
from tests.training.lab import a_scan, dataset_config, make_lung, make_manifest
from training.cli import main
from training.data.images import write_grey
from training.data.manifest import read_index, write_index
from training.data.overview import write_overview
from training.data.prepare import prepare
from training.errors import StageMissingError
from training.runs import DatasetPaths

DATASET = """
name = "drawn"
modality = "lung_ct"
seed = 1
[sides]
train = 0.5
validation = 0.25
test = 0.25
[[fakes]]
generator = "dcgan"
"""


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    paths = DatasetPaths(tmp_path / "dataset")
    prepare(make_manifest(tmp_path, 8), dataset_config(), paths)
    return paths


def test_the_page_says_who_stands_where_and_that_fakes_are_missing(paths: DatasetPaths) -> None:
    text = write_overview(dataset_config(), paths).read_text(encoding="utf-8")

    assert "8 authentic, 0 fakes" in text
    assert "python -m training fakes --dataset drawn_lungs" in text
    assert "96 × 96" in text
    assert text.count("data:image/png") == 1
    assert "http" not in text.replace("http://www.w3.org/", "")


def test_fakes_are_shown_with_what_gives_them_away(paths: DatasetPaths) -> None:
    made = []
    for scan in read_index(paths.scans_index):
        fake = paths.generator_dir("dcgan") / scan.path.name
        write_grey(fake, make_lung(1) * 0.5)
        made.append(
            a_scan(
                fake,
                label=Label.FAKE,
                source="dcgan",
                patient=fake.stem,
                side=scan.side,
                generator="dcgan",
            )
        )
    write_index(paths.fakes_index("dcgan"), made)

    text = write_overview(dataset_config(), paths).read_text(encoding="utf-8")

    assert "8 fakes" in text
    assert text.count("data:image/png") == 2
    assert 'class="bad">1.00' in text


def test_names_from_a_manifest_are_text_and_nothing_else(tmp_path: Path) -> None:
    paths = DatasetPaths(tmp_path / "dataset")
    (tmp_path / "a.png").write_bytes(png_bytes())
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,source,patient\na.png,real,<b>s,p\n", encoding="utf-8")
    prepare(manifest, dataset_config(), paths)

    text = write_overview(dataset_config(), paths).read_text(encoding="utf-8")

    assert "<b>s" not in text
    assert "&lt;b&gt;s" in text


def test_without_a_prepared_set_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(StageMissingError, match="prepare"):
        write_overview(dataset_config(), DatasetPaths(tmp_path))


# --- by command -----------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.toml"
    path.write_text(DATASET, encoding="utf-8")
    return path


def test_prepare_reads_a_folder_and_leaves_a_report(tmp_path: Path, dataset: Path) -> None:
    for number in range(5):
        path = tmp_path / "mine" / "real" / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(make_lung(number)))
    (tmp_path / "mine" / "real" / "bad.png").write_bytes(b"nothing")
    source = ("--source", "folder", "--root", str(tmp_path / "mine"))
    runs = ("--runs", str(tmp_path / "runs"))

    refused = CliRunner().invoke(main, ["prepare", "--dataset", str(dataset), *source, *runs])
    skipped = CliRunner().invoke(
        main, ["prepare", "--dataset", str(dataset), *source, *runs, "--skip-unreadable"]
    )
    shown = CliRunner().invoke(main, ["inspect", "--dataset", str(dataset), *runs])

    assert refused.exit_code == 1
    assert "real/bad.png" in refused.stderr
    assert skipped.exit_code == 0, skipped.output
    assert "left out: real/bad.png" in skipped.stderr
    report = tmp_path / "runs" / "datasets" / "drawn" / "report.html"
    assert f"Report: {report}" in skipped.stdout
    assert shown.exit_code == 0
    assert "real/bad.png" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "name a manifest or a source"),
        (("--source", "folder"), "Each --source needs a --root"),
        (("--source", "m4d", "--root", "."), "There is no source 'm4d'. Known: ctgan, "),
    ],
)
def test_what_cannot_be_prepared_is_said(
    tmp_path: Path, dataset: Path, arguments: tuple[str, ...], problem: str
) -> None:
    result = CliRunner().invoke(
        main, ["prepare", "--dataset", str(dataset), "--runs", str(tmp_path), *arguments]
    )

    assert result.exit_code != 0
    assert problem in result.stderr
    assert "Traceback" not in result.output
