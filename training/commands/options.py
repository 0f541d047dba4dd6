"""Options that several commands share, and how they tell figures."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.runs import DEFAULT_RUNS_DIR

if TYPE_CHECKING:
    from app.detection.card import Estimate
    from training.data.manifest import Scan
    from training.evaluation.report import Report

runs_option = click.option(
    "--runs",
    "runs_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_RUNS_DIR,
    show_default=True,
    help="Folder for everything that the stages make.",
)
dataset_option = click.option(
    "--dataset", required=True, help="Name in training/configs/datasets/, or a TOML file."
)
system_option = click.option(
    "--system", required=True, help="Name in training/configs/, or a TOML file."
)
weights_dir_option = click.option(
    "--weights",
    "weights_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("weights"),
    show_default=True,
    help="Folder that the application serves from.",
)


def tell_report(measured: "Report") -> None:
    """Print the figures of an evaluation, one a line."""
    rows = dict(measured.metrics)
    rows |= {f"AUC, {name}": figure for name, figure in measured.auc_by_generator.items()}
    rows |= {f"false alarms, {k}": v for k, v in measured.false_alarms_by_source.items()}
    rows |= {f"pointing game, {k}": v for k, v in measured.pointing_game.items()}
    for name, figure in rows.items():
        click.echo(f"{name:<40}{figure_text(figure):<24}{figure.note}")


def figure_text(figure: "Estimate") -> str:
    """Return a figure with its interval, or a dash where it is undefined."""
    if figure.value is None:
        return "–"
    interval = "" if figure.low is None else f" ({figure.low:.3f}–{figure.high:.3f})"
    return f"{figure.value:.3f}{interval}"


def tell_counts(scans: Iterable["Scan"]) -> None:
    """Print how many scans of each source and generator stand on each side."""
    counts = Counter((s.side, s.generator or s.source) for s in scans)
    for (side, name), count in sorted(counts.items()):
        click.echo(f"{side:<12}{name:<20}{count:>7}")
