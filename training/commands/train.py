"""``train``: a system learns."""

from pathlib import Path
from typing import Any

import click

from training.commands.options import (
    accelerator_option,
    accept_shortcut_option,
    budget_from,
    budget_options,
    card_path,
    runs_option,
    system_option,
    workers_option,
)
from training.runs import dataset_paths, held_alone, is_first_process, system_paths


@click.command()
@system_option
@runs_option
@click.option(
    "--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs; or processes."
)
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")
@workers_option
@accelerator_option
@accept_shortcut_option
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    help="Begin with weights/<modality>, or <name> in it, where the run that made them is gone.",
)
@click.option("--after-phases", type=click.IntRange(1), help="Phases that those have behind them.")
@click.option(
    "--second-look",
    type=click.Path(path_type=Path),
    help="Card of other published weights, as which the network's second look begins.",
)
@click.option(
    "--member",
    type=click.IntRange(0),
    help="Train this one of each phase's members, from 0, and wait for the others, which the same "
    "command trains beside it with their numbers.",
)
@budget_options
def command(
    system: str,
    runs_dir: Path,
    published: Path | None,
    after_phases: int | None,
    second_look: Path | None,
    member: int | None,
    **options: Any,
) -> None:
    """Train a system on the training side, stopping early on the validation side.

    What is cut short gets a folder of its own, named after the limits. On several machines, start
    the same command on each with torchrun.
    """
    from training.classifiers import train as stage
    from training.classifiers.taking_up import take_up
    from training.config import load_dataset_config, load_system_config
    from training.data.leakage import require_no_shortcut
    from training.fakes.produce import read_companions, read_dataset

    if (published is None) != (after_phases is None):
        raise click.UsageError("--published and --after-phases go together.")
    if second_look is not None and published is None:
        raise click.UsageError("--second-look adds to weights: name them with --published.")
    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(runs_dir, dataset.name))
    scans += read_companions(config.companions, runs_dir)
    config = config.within(budget_from(options))
    hardware = stage.Hardware(
        **{name: options[name] for name in ("devices", "nodes", "workers", "accelerator")}
    )
    paths = system_paths(runs_dir, config.name)
    was_finished = paths.best_checkpoint.exists()
    if not was_finished:
        require_no_shortcut(config, scans, accepted=options["accepted"])
        if published is not None and after_phases is not None and not member:
            with held_alone([paths.member_lock(0)]):
                take_up(
                    card_path(published),
                    config,
                    paths,
                    phases=after_phases,
                    second_look=None if second_look is None else card_path(second_look),
                )
    best = stage.train(config, scans, paths, hardware, member=member)
    if is_first_process():
        click.echo(f"Best checkpoint: {best}{' (of a finished run)' if was_finished else ''}")
