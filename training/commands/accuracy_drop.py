"""``accuracy-drop``: networks that learned a medical finding are run on fakes (document 004)."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from training.commands.options import budget_from, budget_options, runs_option


@click.command()
@click.option(
    "--system",
    "systems",
    multiple=True,
    help="A config with a [diagnosis]; document 004's four where none is named.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The scans; needed for data sets that are not prepared yet.",
)
@budget_options
@runs_option
def command(
    systems: tuple[str, ...], manifest: Path | None, runs_dir: Path, **options: Any
) -> None:
    """Measure how far a network's accuracy on a finding falls on fakes.

    The networks learn the finding from authentic scans; the fakes come from a DCGAN for each class
    of it. Everything that is missing is made; what is there is kept.
    """
    from training.reproduction.accuracy_drop import accuracy_drop
    from training.reproduction.laboratory import Laboratory
    from training.reproduction.rows import load_rows
    from training.reproduction.table import drop_table

    laboratory = Laboratory(runs_dir=runs_dir, manifest=manifest, budget=budget_from(options))
    chosen = systems or tuple(r.system for r in load_rows() if r.experiment == "accuracy_drop")
    with redirect_stdout(sys.stderr):  # progress bars; the table alone goes to stdout
        outcomes = {name: accuracy_drop(laboratory.setting(name), laboratory) for name in chosen}
    click.echo(drop_table(outcomes), nl=False)
