"""The server and its tests do without ``training/`` and the packages that only training needs."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

from app.detection.spec import modalities
from tests.factories import publish_tiny_weights

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300


def names_in(file: str) -> set[str]:
    """Return the distributions that a requirements file pins."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {name.lower() for name in re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE)}


def training_only_imports() -> list[str]:
    """Return the top-level names that only the requirements of training bring.

    Those that are plugins of pytest are left out: it loads them by itself, whoever brought them.
    """
    plugins = {point.module.partition(".")[0] for point in entry_points(group="pytest11")}
    own = names_in("training/requirements.txt")
    own -= names_in("requirements.txt") | names_in("tests/requirements.txt")
    return sorted(
        name
        for name, distributions in packages_distributions().items()
        if name not in plugins and {d.lower().replace("_", "-") for d in distributions} <= own
    )


@pytest.fixture
def tree_without_training(tmp_path: Path) -> Path:
    """A copy of the project as it is after ``rm -r training``."""
    if not (ROOT / "training").is_dir():
        pytest.skip("training/ is not there, so the other tests have shown it already")
    left_out = {".git", ".venv", "instance", "runs", "training", "weights"}
    tree = tmp_path / "veriscan"

    def ignored(folder: str, names: list[str]) -> set[str]:
        caches = {name for name in names if name.endswith("cache") or name == "__pycache__"}
        return caches | (left_out if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, tree, ignore=ignored)
    for modality in modalities():
        publish_tiny_weights(tree / "weights", modality)
    return tree


def run_without_training(tree: Path, code: str) -> str:
    """Run code in the tree where importing training or its own packages fails."""
    blocked = ["training", *training_only_imports()]
    process = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules |= dict.fromkeys({blocked})\n{code}"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    return process.stdout


def test_some_packages_are_for_training_only() -> None:
    if not (ROOT / "training").is_dir():
        pytest.skip("training/ is not there")

    assert "lightning" in training_only_imports()
    assert "torch" not in training_only_imports()


def test_the_application_answers(tree_without_training: Path) -> None:
    printed = run_without_training(
        tree_without_training,
        "from wsgi import application\n"
        "services = application.extensions['veriscan']\n"
        "services.start()\n"
        "print(application.test_client().get('/readyz').status_code)\n"
        "services.stop()\n",
    )

    assert printed.split()[-1] == "200"


def test_the_tests_of_the_application_can_be_collected(tree_without_training: Path) -> None:
    printed = run_without_training(
        tree_without_training,
        "import pytest\nsys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider']))",
    )

    assert "tests/app/" in printed
    assert "tests/training/" not in printed
    assert "training/ is not there" in printed
