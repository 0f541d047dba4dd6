"""The developer's guide is run word for word: its files are written, its commands are given."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.factories import png_bytes
from tests.training.lab import make_lung

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "training" / "README.md").read_text(encoding="utf-8")
FILE_BLOCK = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)```", re.DOTALL)
COMMAND_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PATIENTS = 70
RUN = """
import shlex, sys
import torch
torch.set_num_threads(1)
from training.evaluation import intervals
intervals.BOOTSTRAP_ROUNDS = 40
from training.cli import main
for line in sys.stdin:
    print("$", line, end="", flush=True)
    main(shlex.split(line), standalone_mode=False)
"""


def test_every_test_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", GUIDE))
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) > 20
    assert sorted(name for name in named if f"def {name}(" not in written) == []


def files() -> dict[str, str]:
    """Return the files of the guide by their path, the path's line included."""
    return {path: f"# {path}\n{text}" for path, text in FILE_BLOCK.findall(GUIDE)}


def commands() -> list[str]:
    (block,) = COMMAND_BLOCK.findall(GUIDE)
    return [line.removeprefix("training ") for line in block.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the guide's files, and pictures of hands."""
    project = tmp_path_factory.mktemp("project")
    for package in ("app", "training"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, project / package, ignore=ignored)
    for path, text in files().items():
        assert not (project / path).exists(), f"{path} is there already"
        (project / path).write_text(text, encoding="utf-8")
    for number in range(PATIENTS):
        folder = project / "hands" / f"patient{number}"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(number)
        grey = np.clip(make_lung(number) + rng.normal(0, 0.05, (96, 96)), 0, 1)
        (folder / "front.png").write_bytes(png_bytes(grey.astype(np.float32)))
    return project


def test_the_guide_shows_one_file_for_each_kind_of_extension() -> None:
    assert [str(Path(path).parent) for path in files()] == [
        "app/detection/modalities",
        "training/data/sources",
        "training/fakes",
        "app/detection/architectures",
        "training/configs/datasets",
        "training/configs",
    ]


def test_the_guide_leads_to_weights_that_serve(project: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", RUN],
        input="\n".join(commands()) + "\n",
        cwd=project,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert process.returncode == 0, process.stderr[-3000:]
    assert "Published hand_xray/three_convolutions" in process.stdout
    assert (project / "weights" / "hand_xray" / "three_convolutions.json").is_file()
    assert "hand_xray" in (project / "weights" / "active.toml").read_text(encoding="utf-8")


def test_the_code_of_the_guide_is_in_the_style_of_the_project(project: Path) -> None:
    paths = [path for path in files() if path.endswith(".py")]
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]

    for arguments in (["check", *settings], ["format", "--check", *settings]):
        process = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, *paths],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout


def test_every_command_is_in_the_guide() -> None:
    names = {
        path.stem.replace("_", "-") for path in (ROOT / "training" / "commands").glob("[!_]*.py")
    } - {"options"}

    assert not {name for name in names if f"`{name}`" not in GUIDE}


def test_what_the_guide_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (ROOT / "training" / target).exists(), target
