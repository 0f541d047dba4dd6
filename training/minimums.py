"""What a config demands of a detector before it may be published, and what of it is missed.

A demand names a metric of the test side (``auc``) or, with dots, any other figure on file:
``auc_by_generator.dcgan``, ``leave_one_out.logo_worst_auc``, ``robustness.worst_fall`` …; the first
part is a section of ``metrics.json`` or a file of the system's run. Errors, alarms and falls may be
at most what is demanded, everything else must be at least that.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detection.card import Estimate
from training.config import SystemConfig
from training.errors import ConfigError
from training.evaluation.metrics import METRICS
from training.runs import SystemPaths

AT_MOST = ("ece", "error", "fall", "false_alarm", "false_alarms", "miss_rate")
"""Words in a figure's name that say that less of it is better."""
COMMANDS = {"leave_one_out": "python -m training leave-one-out --system {system}"}
"""Figures that a command of their own measures, beside the run, and that command."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A figure that a config demands.

    Attributes:
        name: Of the figure.
        bound: What it must at least, or at most, be.
    """

    name: str
    bound: float

    @property
    def is_upper(self) -> bool:
        """Whether less is better."""
        words = f"_{self.name.replace('.', '_')}_"
        return any(f"_{word}_" in words for word in AT_MOST)

    def is_met_by(self, figure: Estimate | None) -> bool:
        """Return whether a figure is good enough; a missing or undefined one never is."""
        if figure is None or figure.value is None:
            return False
        return figure.value <= self.bound if self.is_upper else figure.value >= self.bound


def demands(config: SystemConfig) -> list[Demand]:
    """Return what a config demands.

    Raises:
        ConfigError: A name without dots is no metric.
    """
    for name in config.minimums:
        if "." not in name and name not in METRICS:
            known = ", ".join(METRICS)
            problem = f"minimums: there is no metric {name!r}. Known: {known}."
            raise ConfigError(Path(f"{config.name}.toml"), problem)
    return [Demand(name, bound) for name, bound in config.minimums.items()]


def figures_on_file(paths: SystemPaths) -> dict[str, Estimate]:
    """Return every figure of a system's evaluation and of the files beside it, by dotted name."""
    found: dict[str, Estimate] = {}
    evaluation = paths.evaluation_dir / "metrics.json"
    for path in (*sorted(paths.root.glob("*.json")), *sorted(paths.evaluation_dir.glob("*.json"))):
        content = json.loads(path.read_text(encoding="utf-8"))
        if path == evaluation:
            found |= dict(_figures_in(content.pop("metrics", {}), ""))
            found |= dict(_figures_in(content, ""))
        else:
            found |= dict(_figures_in(content, path.stem))
    return found


def _figures_in(content: Any, prefix: str) -> Iterator[tuple[str, Estimate]]:
    if not isinstance(content, Mapping):
        return
    if content.keys() == {"value", "low", "high", "note"}:
        yield prefix, Estimate(**content)
        return
    for name, inner in content.items():
        yield from _figures_in(inner, f"{prefix}.{name}" if prefix else str(name))


def missed(config: SystemConfig, paths: SystemPaths) -> list[str]:
    """Return each demand that a system does not meet, in words with its figure.

    Raises:
        ConfigError: A demand is of no known metric.
    """
    figures = figures_on_file(paths)
    return [
        _in_words(demand, config, figures.get(demand.name))
        for demand in demands(config)
        if not demand.is_met_by(figures.get(demand.name))
    ]


def _in_words(demand: Demand, config: SystemConfig, figure: Estimate | None) -> str:
    direction = "at most" if demand.is_upper else "at least"
    wanted = f"the config demands {direction} {demand.bound:.3f}"
    section = demand.name.partition(".")[0]
    if figure is None and section in COMMANDS:
        command = COMMANDS[section].format(system=config.name)
        return f"{demand.name} was not measured, {wanted} (run `{command}`)"
    if figure is None:
        return f"{demand.name} is not among the figures, {wanted}"
    if figure.value is None:
        return f"{demand.name} is undefined ({figure.note}), {wanted}"
    return f"{demand.name} is {figure.value:.3f}, {wanted}"
