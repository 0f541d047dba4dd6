"""What was measured on generators and sources that a system was not trained on, and its file.

``leave_one_out.json`` lies beside the system's run. Its figures for a gate are

- ``logo_worst_auc``: the least AUC over all generators left out in turn (leave one generator out);
- ``loso_worst_false_alarm_rate``: the largest share of authentic scans called fake over all sources
  left out in turn (leave one source out).

Both are None until every generator, or source, of the training side has had its turn, so a gate
cannot be passed with the easy ones. ``generators`` and ``sources`` hold the figures of each turn.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.detection.card import Estimate
from training.config import SystemConfig
from training.data.manifest import Scan
from training.errors import ManifestError
from training.evaluation.report import Table
from training.runs import SystemPaths, write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Figures of a system on what it was not trained on.

    Attributes:
        system: Its name.
        generators: Figures by generator left out: ``auc``, ``recall_fake``, ``miss_rate`` …
        sources: Figures by source of authentic scans left out: ``false_alarm_rate`` …
        companions: The same for sources of the system's companions. They are of other kinds of
            image, so none of them counts for the worst figures.
        missing_generators: Those that have not had their turn.
        missing_sources: The same for sources.
        made_with: What ``made_with`` returns for the system and its scans.
    """

    system: str
    made_with: str
    generators: Table = field(default_factory=dict)
    sources: Table = field(default_factory=dict)
    companions: Table = field(default_factory=dict)
    missing_generators: Sequence[str] = ()
    missing_sources: Sequence[str] = ()

    @property
    def logo_worst_auc(self) -> Estimate:
        """The least AUC of a generator left out; its note names the generator."""
        return _worst(self.generators, "auc", self.missing_generators, lowest=True)

    @property
    def loso_worst_false_alarm_rate(self) -> Estimate:
        """The largest share of a left-out source called fake; its note names the source."""
        return _worst(self.sources, "false_alarm_rate", self.missing_sources, lowest=False)

    def to_json(self) -> str:
        """Return everything as indented JSON."""
        worst = {
            "logo_worst_auc": asdict(self.logo_worst_auc),
            "loso_worst_false_alarm_rate": asdict(self.loso_worst_false_alarm_rate),
        }
        content = {"system": self.system} | worst | asdict(self)
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def made_with(config: SystemConfig, scans: Sequence[Scan], judged: int | None = None) -> str:
    """Return a hash of what figures were measured with.

    Args:
        config: Of the system.
        scans: The whole data set.
        judged: Bound on the scans that were judged, if there was one.
    """
    bound = () if judged is None else (judged,)
    return digest(scans, config.learned_from, *bound)


def digest(scans: Sequence[Scan], *settings: object) -> str:
    """Return a hash of which scans there are, on which sides, and of settings."""
    rows = sorted((s.path.name, s.side, s.source, s.generator) for s in scans)
    return sha256(repr((rows, settings)).encode()).hexdigest()


def left_out_file(paths: SystemPaths) -> Path:
    """Return where a system's figures stand."""
    return paths.root / "leave_one_out.json"


def write_left_out(paths: SystemPaths, left_out: LeftOut) -> None:
    """Write a system's figures, whole or not at all."""
    paths.root.mkdir(parents=True, exist_ok=True)
    write_whole(left_out_file(paths), left_out.to_json().encode())


def read_left_out(path: Path) -> LeftOut:
    """Read what ``write_left_out`` wrote.

    Raises:
        ManifestError: It is not there or cannot be used.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return LeftOut(
            system=raw["system"],
            made_with=raw["made_with"],
            generators=_table(raw["generators"]),
            sources=_table(raw["sources"]),
            companions=_table(raw.get("companions", {})),
            missing_generators=tuple(raw["missing_generators"]),
            missing_sources=tuple(raw["missing_sources"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(path, f"it cannot be used ({error})") from error


def figures_from(raw: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return figures as they were before they became JSON."""
    return {name: Estimate(**figure) for name, figure in raw.items()}


def _table(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    return {row: figures_from(figures) for row, figures in raw.items()}


def _worst(table: Table, metric: str, missing: Sequence[str], *, lowest: bool) -> Estimate:
    if missing:
        return Estimate(value=None, note=f"not measured yet: {', '.join(missing)}")
    if not table:
        return Estimate(value=None, note="undefined: nothing was left out")
    if undefined := [name for name, row in table.items() if row[metric].value is None]:
        return Estimate(value=None, note=f"undefined for {', '.join(undefined)}")
    choose = min if lowest else max
    name = choose(table, key=lambda row: table[row][metric].value or 0.0)
    figure = table[name][metric]
    return Estimate(
        value=figure.value, low=figure.low, high=figure.high, note=f"{name}; {figure.note}"
    )
