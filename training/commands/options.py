"""Options that several commands share, and how they tell figures."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from training.recipe import Budget
from training.runs import DEFAULT_RUNS_DIR
from training.tables import figure_text, markdown_table

if TYPE_CHECKING:
    from training.data.manifest import Scan
    from training.evaluation.report import Report

F = TypeVar("F", bound=Callable[..., Any])

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
workers_option = click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes."
)
accelerator_option = click.option(
    "--accelerator",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Kind of device.",
)
accept_shortcut_option = click.option(
    "--accept-shortcut",
    "accepted",
    multiple=True,
    metavar="COLUMN",
    help="Train although this column tells the classes apart.",
)
SIDES = ("train", "validation", "test")
"""The same as in ``training.data.splits``, which takes seconds to load."""
LIMITS = {
    "--max-epochs": "Epochs of each phase.",
    "--max-steps-per-epoch": "Optimiser steps.",
    "--image-size": "Side of the input, in pixels: a multiple of 32, at least 96.",
    "--max-scans": "Authentic scans of each side, and fakes of each generator on it.",
}
"""Options that cut training short, named as in ``training.recipe.Budget``."""
weights_dir_option = click.option(
    "--weights",
    "weights_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("weights"),
    show_default=True,
    help="Folder that the application serves from.",
)


def card_path(weights: Path) -> Path:
    """Return the card of ``<modality>/<name>``, or of ``<modality>`` the active one's."""
    from app.detection.weights import active_checkpoint

    if weights.is_dir():
        modality_dir = weights.resolve()
        return active_checkpoint(modality_dir.parent, modality_dir.name)
    name = weights.name.removesuffix(".safetensors").removesuffix(".json")
    return weights.with_name(f"{name}.json")


def budget_options(command: F) -> F:
    """Add the options that cut training short; ``budget_from`` reads them."""
    for name, meaning in reversed(LIMITS.items()):
        text = f"{meaning} For a run cut short, in a folder of its own."
        command = click.option(name, type=click.IntRange(1), help=text)(command)
    return command


def budget_from(options: Mapping[str, Any]) -> Budget:
    """Return the budget that a command's options ask for.

    Raises:
        click.BadParameter: A limit is not possible.
    """
    names = [name.removeprefix("--").replace("-", "_") for name in LIMITS]
    try:
        return Budget(**{name: options[name] for name in names})
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def tell_report(measured: "Report") -> None:
    """Print the figures of an evaluation, one a line, and what was called what."""
    rows = dict(measured.metrics)
    rows |= {f"AUC, {name}": figure for name, figure in measured.auc_by_generator.items()}
    rows |= {f"false alarms, {k}": v for k, v in measured.false_alarms_by_source.items()}
    rows |= {f"pointing game, {k}": v for k, v in measured.pointing_game.items()}
    rows |= {f"pointing, {k.replace('_', ' ')}": v for k, v in measured.pointing_by_verdict.items()}
    rows |= {f"patch AUC, {k}": v for k, v in measured.patch_auc.items()}
    rows |= {f"IoU, {k}": v for k, v in measured.iou.items()}
    if measured.robustness:
        rows["most balanced accuracy lost"] = measured.robustness.worst_fall
    for control, figures in measured.controls.items():
        rows |= {f"authentic {control}: {name}": v for name, v in figures.items()}
    for name, figure in rows.items():
        click.echo(f"{name:<42}{figure_text(figure):<24}{figure.note}")
    names = {"fake": "called fake", "inconclusive": "inconclusive", "real": "called authentic"}
    counts = [
        [group, *(str(count.get(verdict, 0)) for verdict in names)]
        for group, count in measured.verdicts.items()
    ]
    click.echo(markdown_table(["scans", *names.values()], counts), nl=False)


def tell_counts(scans: Iterable["Scan"]) -> None:
    """Print how many scans of each source and generator stand on each side."""
    counts = Counter((s.side, s.generator or s.source) for s in scans)
    for (side, name), count in sorted(counts.items()):
        click.echo(f"{side:<12}{name:<20}{count:>7}")
