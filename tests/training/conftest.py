"""These tests need ``training/`` and its packages. Where either is missing they are left out.

Import nothing of ``training`` here: this file is read in both cases.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDED_PACKAGES = ("dacite", "lightning", "scipy", "sklearn", "tensorboard", "torchmetrics", "tqdm")


def _reason_to_leave_out() -> str | None:
    if not (Path(__file__).parents[2] / "training" / "__init__.py").is_file():
        return "training/ is not there"
    for package in NEEDED_PACKAGES:
        if find_spec(package) is None:
            return f"{package} is not installed, see training/requirements.txt"
    return None


REASON_TO_LEAVE_OUT = _reason_to_leave_out()

collect_ignore_glob = ["*"] if REASON_TO_LEAVE_OUT else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REASON_TO_LEAVE_OUT:
        terminalreporter.write_line(f"tests/training was left out: {REASON_TO_LEAVE_OUT}")


@pytest.fixture(scope="module")
def few_bootstrap_rounds() -> Iterator[None]:
    """Draw intervals from fewer rounds than usual, where the intervals are not what is tested."""
    from training.evaluation import intervals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "BOOTSTRAP_ROUNDS", 40)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks are slower with several threads, and the machine may be shared."""
    import torch

    torch.set_num_threads(1)
