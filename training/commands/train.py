"""``train``: a detector learns."""

from pathlib import Path

import click

from training.commands.options import runs_option, system_option
from training.runs import dataset_paths, system_paths


@click.command()
@system_option
@runs_option
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes."
)
def command(system: str, runs_dir: Path, devices: int, nodes: int, workers: int) -> None:
    """Train a detector on the training side, stopping early on the validation side."""
    from training.classifiers import train as stage
    from training.config import load_dataset_config, load_system_config
    from training.fakes.produce import read_dataset

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(runs_dir, dataset.name))
    hardware = stage.Hardware(devices=devices, nodes=nodes, workers=workers)
    best = stage.train(config, scans, system_paths(runs_dir, config.name), hardware)
    click.echo(f"Best checkpoint: {best}")
