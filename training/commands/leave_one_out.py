"""``leave-one-out``: a system is tried on generators and sources it was not trained on."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from training.commands.options import (
    accelerator_option,
    accept_shortcut_option,
    budget_from,
    budget_options,
    runs_option,
    system_option,
    workers_option,
)
from training.runs import dataset_paths, system_paths
from training.tables import figure_text

if TYPE_CHECKING:
    from training.evaluation.leave_one_out import Experiment, Turn
    from training.evaluation.left_out import LeftOut


@click.command()
@system_option
@runs_option
@click.option(
    "--generator",
    "generators",
    multiple=True,
    help="Leave out this one only; may be repeated. Join the names of a family by + to leave them "
    "out together.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Leave out the scans of this source; may be repeated.",
)
@click.option("--every-source", is_flag=True, help="Leave out each source in turn.")
@click.option(
    "--max-judged-scans",
    "judged",
    type=click.IntRange(1),
    help="Calibrate and test on at most so many authentic scans of each side, and fakes of each "
    "generator on it; training sees them all. `publish` does not take such figures.",
)
@workers_option
@accelerator_option
@accept_shortcut_option
@budget_options
def command(system: str, runs_dir: Path, **options: Any) -> None:
    """Train without one generator, or one source of scans, and test on it; each in turn.

    Without --generator and --source every generator has its turn. A stopped run goes on where it
    was. The figures go to leave_one_out.json beside the system's run, where publish finds them.
    """
    from training.classifiers.train import Hardware
    from training.config import load_dataset_config, load_system_config
    from training.data.leakage import require_no_shortcut
    from training.evaluation.leave_one_out import Experiment, leave_out
    from training.fakes.produce import read_companions, read_dataset

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(runs_dir, dataset.name))
    scans += read_companions(config.companions, runs_dir)
    config = config.within(budget_from(options))
    require_no_shortcut(config, scans, accepted=options["accepted"])
    experiment = Experiment(
        config=config,
        dataset=dataset,
        scans=scans,
        paths=system_paths(runs_dir, config.name),
        hardware=Hardware(workers=options["workers"], accelerator=options["accelerator"]),
        judged=options["judged"],
    )
    with redirect_stdout(sys.stderr):  # progress bars; the figures alone go to stdout
        found = leave_out(experiment, _turns(experiment, options))
    _tell(found)


def _turns(experiment: "Experiment", options: dict[str, Any]) -> "list[Turn]":
    from training.evaluation.leave_one_out import Turn

    sources = experiment.sources() if options["every_source"] else options["sources"]
    generators = options["generators"] or ([] if sources else experiment.generators())
    return [
        *(Turn(kind="generator", name=name) for name in generators),
        *(Turn(kind=_kind_of(name, experiment), name=name) for name in sources),
    ]


def _kind_of(source: str, experiment: "Experiment") -> Literal["source", "companion"]:
    from training.evaluation.leave_one_out import TOGETHER

    own = experiment.sources()
    beside = set(experiment.companions()).difference(own)
    return "companion" if beside.issuperset(source.split(TOGETHER)) else "source"


def _tell(found: "LeftOut") -> None:
    for name, figures in found.generators.items():
        click.echo(f"without {name:<28} AUC on it {figure_text(figures['auc'])}")
    for name, figures in {**found.sources, **found.companions}.items():
        text = figure_text(figures["false_alarm_rate"])
        click.echo(f"without {name:<28} false alarms on it {text}")
    for title, worst in (
        ("worst AUC, generators", found.logo_worst_auc),
        ("most false alarms, sources", found.loso_worst_false_alarm_rate),
    ):
        click.echo(f"{title:<36} {figure_text(worst)}  {worst.note}")
