"""The README tells the truth about settings, commands, folders and pictures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from app.cli import register_commands
from app.config import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTING_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<default>[^|]+) \| .+ \|$", re.MULTILINE)


def settings_table() -> dict[str, str]:
    """Return the default of each setting as the README gives it."""
    return {row["name"]: row["default"] for row in SETTING_ROW.finditer(README)}


def commands_after(program: str) -> set[str]:
    """Return the first word after a program, wherever the README uses it as code."""
    in_code = "\n".join(re.findall(r"```.+?```|`[^`\n]+`", README, flags=re.DOTALL))
    return set(re.findall(rf"{program} ([a-z][a-z-]*)", in_code))


# --- settings -------------------------------------------------------------------------------


def test_every_setting_is_in_the_table() -> None:
    assert set(settings_table()) == {"PORT", *Settings.variables()}


def test_no_setting_is_named_that_does_not_exist() -> None:
    assert set(re.findall(r"VERISCAN_[A-Z_]*[A-Z]", README)) <= set(Settings.variables())


def test_the_defaults_in_the_table_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the table gives folders relative to the project
    literal = {
        name: default.strip("`")
        for name, default in settings_table().items()
        if name.startswith("VERISCAN_") and default.startswith("`")
    }

    assert len(literal) >= 10
    assert Settings.from_env(literal) == Settings()


def test_the_settings_without_a_literal_default_are_unset_by_default() -> None:
    in_words = {name for name, default in settings_table().items() if not default.startswith("`")}
    unset = {f"VERISCAN_{name.upper()}" for name, value in vars_of(Settings()) if value is None}

    assert in_words == unset | {"VERISCAN_SECRET_KEY_FILE"}


def vars_of(settings: Settings) -> list[tuple[str, object]]:
    """Return the fields of the settings with their values."""
    return [(name, getattr(settings, name)) for name in Settings.__dataclass_fields__]


# --- commands -------------------------------------------------------------------------------


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))

    assert {"run", "test"} <= commands_after("make") <= targets


def test_every_flask_command_in_the_readme_exists() -> None:
    app = Flask("readme")
    register_commands(app)

    assert {"create-admin", "analyse"} <= commands_after("bin/flask") <= set(app.cli.commands)


def test_every_stage_of_training_in_the_readme_exists() -> None:
    if not (ROOT / "training").is_dir():
        pytest.skip("training/ is not there")
    help_text = subprocess.run(
        [sys.executable, "-m", "training", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    stages = set(re.findall(r"^  ([a-z]+)  ", help_text, flags=re.MULTILINE))

    assert {"prepare", "fakes", "train", "evaluate", "publish"} <= commands_after("-m training")
    assert commands_after("-m training") <= stages


# --- pictures and folders -------------------------------------------------------------------


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)([^)]+)\)", README))
def test_every_linked_file_exists(target: str) -> None:
    assert (ROOT / target).is_file(), f"the README links {target}, which does not exist"


@pytest.mark.parametrize("anchor", re.findall(r"\]\(#([^)]+)\)", README))
def test_every_linked_section_exists(anchor: str) -> None:
    headings = re.findall(r"^#+ (.+)$", README, flags=re.MULTILINE)

    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_map_names_the_folders_that_are_there() -> None:
    project_map = re.search(r"## How it is built\n\n```\n(.+?)```", README, flags=re.DOTALL)
    assert project_map is not None
    names = re.findall(r"^(\s*)([\w.]+/?) ", project_map[1] + " ", flags=re.MULTILINE)

    missing = [
        name for indent, name in names if not (ROOT / ("app" if indent else "") / name).exists()
    ]

    assert set(missing) <= {"training/"}, "only training/ may be deleted"
