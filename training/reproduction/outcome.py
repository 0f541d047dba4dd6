"""What came of a row, kept in one file beside the run so that a stopped reproduction goes on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from app.detection.card import Estimate
from training.config import Budget
from training.recipe import PhaseConfig
from training.reproduction.laboratory import Setting
from training.runs import SystemPaths, write_whole

OUTCOME_FILE = "outcome.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row that was reproduced.

    Attributes:
        figures: By name, with intervals.
        begins_from: Where the first weights came from, in words.
        cut: What the budget cut, in words; empty where the run is as documented.
        shortcut: By what the classes are told apart without seeing the anatomy; empty if by
            nothing.
    """

    figures: Mapping[str, Estimate]
    begins_from: str
    cut: str
    shortcut: str = ""


def folder_of(paths: SystemPaths) -> Path:
    """Return where a system's reproduction lies."""
    return paths.root / "reproduction"


def read_outcome(paths: SystemPaths) -> Outcome | None:
    """Return what came of a system before; None if it is not finished."""
    try:
        raw = json.loads((folder_of(paths) / OUTCOME_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    figures = {name: Estimate(**figure) for name, figure in raw.pop("figures").items()}
    return Outcome(figures=figures, **raw)


def write_outcome(paths: SystemPaths, outcome: Outcome) -> None:
    """Keep what came of a system."""
    content = json.dumps(asdict(outcome), indent=2, ensure_ascii=False, allow_nan=False)
    folder_of(paths).mkdir(parents=True, exist_ok=True)
    write_whole(folder_of(paths) / OUTCOME_FILE, f"{content}\n".encode())


def cut_in_words(setting: Setting, budget: Budget) -> str:
    """Return what a budget cut of a system and its data set, such as ``96 px, 2 epochs``."""
    system, documented = setting.system, setting.documented
    parts = []
    if system.image_size != documented.image_size:
        parts.append(f"{system.image_size} px")
    if _epochs(system.phases) != _epochs(documented.phases):
        parts.append(f"{_epochs(system.phases)} epochs")
    steps = budget.max_steps_per_epoch
    if steps and any(p.steps_per_epoch == steps for p in system.phases):
        parts.append(f"{steps} steps an epoch")
    if budget.max_scans:
        parts.append(f"{budget.max_scans} scans a side")
    limits = [
        f"{limit} {unit}"
        for limit, unit in (
            (budget.max_generator_epochs, "epochs"),
            (budget.max_generator_steps, "steps"),
        )
        if limit
    ]
    if limits:
        parts.append(f"generators {' or '.join(limits)}")
    return ", ".join(parts)


def _epochs(phases: list[PhaseConfig]) -> int:
    return sum(phase.epochs for phase in phases)
