"""Holds the map of who may import whom, so that the parts stay apart as they grow."""

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.import_rules import (
    ROOT,
    imported,
    module_name,
    modules_imported,
    plain,
    problems,
    required,
    source_files,
)

# --- the rules hold -------------------------------------------------------------------------


@pytest.mark.parametrize("path", source_files("app", "training"), ids=module_name)
def test_a_module_imports_only_what_the_map_allows(path: Path) -> None:
    found = problems(module_name(path), path.read_text(encoding="utf-8"))

    assert not found, "\n".join(found)


def test_wsgi_imports_only_what_the_map_allows() -> None:
    assert not problems("wsgi", (ROOT / "wsgi.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("app", ["requirements.txt"]),
        ("training", ["requirements.txt", "training/requirements.txt"]),
        (
            "tests",
            [
                "requirements.txt",
                "training/requirements.txt",
                "tests/requirements.txt",
                "tests/benchmarks/requirements.txt",
            ],
        ),
    ],
)
def test_every_imported_package_is_required(folder: str, files: list[str]) -> None:
    if not (ROOT / folder).is_dir():
        pytest.skip(f"{folder}/ is not there")
    pinned = required(*(file for file in files if (ROOT / file).is_file()))
    distributions = packages_distributions()  # what benchmarks alone need may not be installed

    unpinned = {
        f"{module_name(path)}, line {line}: {name} is in none of {', '.join(files)}"
        for path in source_files(folder)
        for line, name in imported(path.read_text(encoding="utf-8"))
        if (top := name.split(".")[0]) not in sys.stdlib_module_names
        and top not in ("app", "training", "tests", "wsgi")
        and not pinned.intersection(map(plain, distributions.get(top, [top])))
    }

    assert not unpinned, "\n".join(sorted(unpinned))


@pytest.mark.parametrize(
    "file",
    [
        "requirements.txt",
        "training/requirements.txt",
        "tests/requirements.txt",
        "tests/benchmarks/requirements.txt",
    ],
)
def test_every_requirement_is_pinned_and_names_no_host(file: str) -> None:
    if not (ROOT / file).is_file():
        pytest.skip(f"{file} is not there")
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pin = r"[\w.-]+==[\w.]+( ; sys_platform == \"linux\")?( +#.*)?"
    allowed = re.compile(rf"(#.*|-r \.\./requirements\.txt|{pin}|)")

    assert not [line for line in lines if not allowed.fullmatch(line)]


# --- the rules hold when it runs ------------------------------------------------------------


def run_python(code: str, cwd: Path) -> str:
    """Run code in a new interpreter where warnings are errors; return what it printed."""
    process = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}",
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_services_and_storage_load_neither_torch_nor_flask(tmp_path: Path) -> None:
    modules = [module_name(path) for path in source_files("app/services", "app/storage")]

    loaded = run_python(
        f"import importlib\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        f"print(*{{'torch', 'torchvision', 'flask'}} & set(sys.modules))",
        tmp_path,
    )

    assert loaded.split() == []


def test_a_network_that_is_not_torchvisions_is_built_without_it(tmp_path: Path) -> None:
    loaded = run_python(
        "from app.detection.architectures import build\n"
        "from app.detection.card import ArchitectureSpec\n"
        "build(ArchitectureSpec(name='efficientnet_b4', arguments={'image_size': 64}))\n"
        "print(*{'efficientnet_pytorch', 'torchvision', 'torch._dynamo'} & set(sys.modules))",
        tmp_path,
    )

    assert loaded.split() == ["efficientnet_pytorch"]


def test_no_modules_import_each_other_so_that_each_can_be_imported_first() -> None:
    graph = {
        module_name(path): set(modules_imported(path.read_text(encoding="utf-8")))
        for path in source_files("app")
    }

    TopologicalSorter(graph).prepare()  # an error names the modules of a circle


@pytest.mark.parametrize("part", ["app.services", "app.web"])
def test_no_folders_of_a_part_import_each_other(part: str) -> None:
    def folder(module: str) -> str:
        return ".".join(module.split(".")[:3])

    graph: dict[str, set[str]] = {}
    for path in source_files("app"):
        module = module_name(path)
        if module.startswith(f"{part}.") and path.parent != ROOT / part.replace(".", "/"):
            used = {
                folder(other)
                for other in modules_imported(path.read_text(encoding="utf-8"))
                if other.startswith(f"{part}.")
            }
            graph.setdefault(folder(module), set()).update(used - {folder(module)})

    TopologicalSorter(graph).prepare()  # an error names the folders of a circle


def test_an_import_prints_nothing_and_starts_no_thread(tmp_path: Path) -> None:
    # The server's configuration exists to do something when it is imported.
    modules = [module_name(path) for path in source_files("app")]
    modules.remove("app.gunicorn_conf")

    printed = run_python(
        f"import importlib, threading\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        f"assert 'training' not in sys.modules\n"
        f"print(threading.active_count())",
        tmp_path,
    )

    assert printed.split() == ["1"]


# --- the checker itself ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app.services.accounts.accounts", "from app.storage.users import UserStore"),
        ("app.services.analyses.analyses", "from app.engine.protocol import Engine"),
        ("app.services.uploads.uploads", "from app.detection import decoding"),
        ("app.web.accounts.auth", "import flask, json"),
        ("app.detection.weights", "import torch.nn.functional as functional"),
        ("app.detection.architectures.plain_cnn", "from torch import nn"),
        ("app.engine.batching", "from app.detection.weights import load_detector"),
        ("training.cli", "import lightning"),
        ("app.errors", "from collections.abc import Sequence"),
    ],
)
def test_the_checker_lets_pass_what_is_allowed(module: str, source: str) -> None:
    assert problems(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app.web.accounts.auth", "from app.storage.users import UserStore"),
        ("app.web.accounts.auth", "from app.engine.batching import LocalEngine"),
        ("app.web.accounts.auth", "import torch"),
        ("app.services.accounts.accounts", "from flask import request"),
        ("app.services.analyses.analyses", "from app.engine.batching import LocalEngine"),
        ("app.services.analyses.analyses", "from app.engine import batching"),
        (
            "app.services.analyses.analyses",
            "def f():\n    from app.detection.weights import load_detector",
        ),
        ("app.services.analyses.analyses", "from app import web"),
        ("app.storage.users", "from app.services.accounts.accounts import AccountService"),
        ("app.storage.users", "import pickle"),
        ("app.detection.decoding", "import torch"),
        ("app.detection.verdict", "from app.detection.weights import LoadedDetector"),
        ("app.engine.protocol", "import torch"),
        ("app.records", "from .storage import users"),
        ("app.factory", "from training.config import RunConfig"),
        ("training.cli", "from app.services.accounts.accounts import AccountService"),
        ("training.cli", "import app.factory"),
    ],
)
def test_the_checker_finds_what_is_forbidden(module: str, source: str) -> None:
    found = problems(module, source)

    assert len(found) == 1
    assert found[0].startswith(f"{module}, line ")


def test_the_checker_says_what_may_be_used_instead() -> None:
    (problem,) = problems("app.storage.users", "import torch")

    assert problem == (
        "app.storage.users, line 1: torch is not open to app.storage; "
        "open are cryptography, sqlalchemy, tinydb"
    )


def test_every_module_of_the_application_is_looked_at() -> None:
    names = {module_name(path) for path in source_files("app")}

    assert {"app", "app.records", "app.detection.modalities.lung_ct"} <= names
