from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.factories import publish_tiny_weights
from training.cli import main
from training.commands.list import KINDS
from training.config import CONFIGS_DIR, DATASETS_DIR, load_dataset_config
from training.data.sources.base import sources
from training.fakes.base import generators
from training.inventory import KINDS as TABLES
from training.runs import dataset_paths, system_paths


def listed(tmp_path: Path, *kinds: str) -> Result:
    folders = ("--runs", str(tmp_path / "runs"), "--weights", str(tmp_path / "weights"))
    return CliRunner().invoke(main, ["list", *kinds, *folders])


def line_of(result: Result, name: str) -> str:
    (line,) = [line for line in result.output.splitlines() if line.startswith(f"| {name} ")]
    return line


def test_everything_that_a_command_can_name_is_listed(tmp_path: Path) -> None:
    said = listed(tmp_path)

    assert said.exit_code == 0, said.output
    configs = [
        path.stem for folder in (CONFIGS_DIR, DATASETS_DIR) for path in folder.glob("*.toml")
    ]
    for name in (*generators(), *sources(), *configs, "efficientnet_b4"):
        assert f"| {name} " in said.output


def test_one_kind_can_be_asked_for(tmp_path: Path) -> None:
    said = listed(tmp_path, "generators")

    assert "edits of authentic scans" in line_of(said, "inpainting_gan")
    assert "whole images" in line_of(said, "diffusion")
    assert "Systems" not in said.output


def test_the_help_names_the_tables_that_there_are() -> None:
    assert tuple(TABLES) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_each_says_in_words_what_it_is(tmp_path: Path, kind: str) -> None:
    lines = listed(tmp_path, kind).output.splitlines()[4:]

    assert lines
    assert all(len(line.split("|")[-2].strip()) > 5 for line in lines)


def test_what_was_made_of_a_data_set_and_a_system_is_told(tmp_path: Path) -> None:
    dataset = dataset_paths(tmp_path / "runs", "lung_ct")
    for index in (dataset.scans_index, dataset.fakes_index("dcgan")):
        index.parent.mkdir(parents=True, exist_ok=True)
        index.touch()
    checkpoint = system_paths(tmp_path / "runs", "lung_ct_efficientnet_b4").best_checkpoint
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    publish_tiny_weights(tmp_path / "weights", "lung_ct", name="cnn1")

    said = listed(tmp_path, "datasets", "systems")

    kinds = len(load_dataset_config("lung_ct").fakes)
    assert f"| prepared, fakes of 1 of {kinds} |" in line_of(said, "lung_ct")
    assert "| –" in line_of(said, "knee_xray")
    assert "| trained " in line_of(said, "lung_ct_efficientnet_b4")
    assert "| serves " in line_of(said, "lung_ct_cnn1")
