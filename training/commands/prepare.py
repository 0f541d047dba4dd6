"""``prepare``: from a manifest to decoded scans on their sides."""

from pathlib import Path

import click

from training.commands.options import dataset_option, runs_option, tell_counts
from training.runs import dataset_paths


@click.command()
@dataset_option
@click.option("--manifest", type=click.Path(path_type=Path, dir_okay=False), required=True)
@runs_option
def command(dataset: str, manifest: Path, runs_dir: Path) -> None:
    """Decode the scans of a manifest and put each patient on one side."""
    from training.config import load_dataset_config
    from training.data import prepare as stage

    config = load_dataset_config(dataset)
    tell_counts(stage.prepare(manifest, config, dataset_paths(runs_dir, config.name)))
