"""``stability``: what trying harmless variants of a scan costs and gains is measured."""

from pathlib import Path

import click

from training.commands.options import SIDES, dataset_option, runs_option, weights_dir_option
from training.runs import dataset_paths


@click.command()
@dataset_option
@runs_option
@weights_dir_option
@click.option(
    "--scans",
    "per_group",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Authentic scans, and fakes of each generator.",
)
@click.option(
    "--side",
    type=click.Choice(SIDES),
    default="validation",
    show_default=True,
)
def command(dataset: str, runs_dir: Path, weights_dir: Path, per_group: int, side: str) -> None:
    """Judge scans and their variants with the weights that serve, and count verdicts withdrawn.

    The probabilities go to stability/<weights>.csv beside the data set.
    """
    from app.detection.weights import active_checkpoint, load_detector
    from training.config import load_dataset_config
    from training.data.manifest import on_side
    from training.evaluation.stability import choose, judge, try_rules, write_judged
    from training.fakes.produce import read_dataset
    from training.tables import markdown_table

    config = load_dataset_config(dataset)
    paths = dataset_paths(runs_dir, config.name)
    detector = load_detector(active_checkpoint(weights_dir, config.modality))
    scans = choose(on_side(read_dataset(config, paths), side), per_group)
    judged = judge(detector, scans)
    write_judged(paths.root / "stability" / f"{detector.card.name}.csv", judged)
    rows = [
        [
            tried.rule,
            tried.variants.replace("_", "-"),
            f"{tried.wrong_withdrawn} of {tried.wrong}",
            f"{tried.right_withdrawn} of {tried.right}",
        ]
        for tried in try_rules(judged, detector.card.operating_point)
    ]
    head = ["rule", "variants", "wrong verdicts withdrawn", "right verdicts lost"]
    click.echo(markdown_table(head, rows), nl=False)
