"""``inspect``: the report of a data set, with the fakes that there are by now."""

from pathlib import Path

import click

from training.commands.options import dataset_option, runs_option
from training.runs import dataset_paths


@click.command()
@dataset_option
@runs_option
def command(dataset: str, runs_dir: Path) -> None:
    """Write a data set's report anew: sides, shortcuts, grey values, contact sheets.

    `prepare` writes it too, but before there are fakes to look at.
    """
    from training.config import load_dataset_config
    from training.data.overview import write_overview

    config = load_dataset_config(dataset)
    click.echo(f"Report: {write_overview(config, dataset_paths(runs_dir, config.name))}")
