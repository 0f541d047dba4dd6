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
@click.option(
    "--activate/--no-activate",
    "activation",
    default=None,
    help="Let these weights serve their modality, or not. Without either they do, unless a paired "
    "test on the test side finds them worse than those that serve.",
)
@click.option(
    "--robustness",
    "robustness_scans",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="Test scans that every harmless change is tried on; each costs some twenty judgements.",
)
@click.option(
    "--max-judged-fakes",
    type=click.IntRange(1),
    help="Judge at most so many fakes of each generator, on the validation and on the test side. "
    "All authentic scans are judged in any case.",
)
def command(
    system: str,
    runs_dir: Path,
    weights_dir: Path,
    activation: bool | None,
    robustness_scans: int,
    max_judged_fakes: int | None,
) -> None:
    """Calibrate on validation, measure once on the test side and write weights with their card."""
    from training.candidate import Candidate
    from training.config import load_dataset_config, load_system_config
    from training.evaluation.robustness import Sample
    from training.fakes.produce import read_companions, read_dataset
    from training.publish import publish as stage

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(runs_dir, dataset.name))
    scans += read_companions(config.companions, runs_dir)
    candidate = Candidate(
        config=config,
        dataset=dataset,
        scans=scans,
        paths=system_paths(runs_dir, config.name),
        judged_fakes=max_judged_fakes,
    )
    sample = Sample(scans=robustness_scans)
    done = stage(candidate, weights_dir, activation=activation, sample=sample)
    tell_report(done.measured)
    click.echo(f"Published {done.card.modality}/{done.card.name} ({done.card.sha256[:12]}).")
    if done.rival:
        click.echo(f"Compared: {done.rival}.")
    if not done.serves:
        click.echo("It does not serve yet; publish it with --activate to let it.")
