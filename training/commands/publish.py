"""``publish``: a trained detector is calibrated, measured and handed to the application."""

from pathlib import Path

import click

from training.commands.options import (
    runs_option,
    system_option,
    tell_report,
    weights_dir_option,
)
from training.runs import dataset_paths, system_paths


@click.command()
@system_option
@runs_option
@weights_dir_option
def command(system: str, runs_dir: Path, weights_dir: Path) -> None:
    """Calibrate on validation, measure once on the test side and write weights with their card."""
    from training.config import load_dataset_config, load_system_config
    from training.fakes.produce import read_dataset
    from training.publish import Candidate
    from training.publish import publish as stage

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    candidate = Candidate(
        config=config,
        dataset=dataset,
        scans=read_dataset(dataset, dataset_paths(runs_dir, dataset.name)),
        paths=system_paths(runs_dir, config.name),
    )
    card, measured = stage(candidate, weights_dir)
    tell_report(measured)
    click.echo(f"Published {card.modality}/{card.name} ({card.sha256[:12]}).")
