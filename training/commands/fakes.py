"""``fakes``: generators learn from the training side and make fakes for every side."""

from pathlib import Path

import click

from training.commands.options import dataset_option, runs_option, tell_counts
from training.runs import dataset_paths


@click.command()
@dataset_option
@runs_option
def command(dataset: str, runs_dir: Path) -> None:
    """Fit the generators on the training side and make fakes for every side."""
    from training.config import load_dataset_config
    from training.fakes import produce as stage

    config = load_dataset_config(dataset)
    tell_counts(stage.produce(config, dataset_paths(runs_dir, config.name)))
