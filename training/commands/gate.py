"""``gate``: a network that tells a modality from other images is fitted and published."""

from pathlib import Path

import click

from training.commands.options import runs_option, weights_dir_option
from training.runs import dataset_paths
from training.tables import figure_text


@click.command()
@click.option("--modality", required=True, help="Key of the modality that the gate lets pass.")
@click.option(
    "--foreign",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="CSV with the columns path,modality,source; rows of other modalities are what to stop.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Prepared data set of the modality; several may be named.  [default: the modality]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@runs_option
@weights_dir_option
def command(
    modality: str,
    foreign: Path,
    datasets: tuple[str, ...],
    seed: int,
    runs_dir: Path,
    weights_dir: Path,
) -> None:
    """Fit a gate on the training sides, measure it on held-out images and publish it.

    It goes beside the checkpoints of the modality and does not depend on them. Its trunk is
    MobileNetV2 as ImageNet left it; only what reads its features is fitted.
    """
    from training.gate.images import foreign_images, right_images
    from training.gate.publish import GateRecipe, publish_gate

    paths = [dataset_paths(runs_dir, name) for name in datasets or (modality,)]
    images = right_images(paths) + foreign_images(foreign, modality)
    card = publish_gate(GateRecipe(modality=modality, seed=seed), images, weights_dir)
    click.echo(f"{'':<44}wrongly stopped")
    for name, figure in card.wrongly_stopped.items():
        click.echo(f"{name:<44}{figure_text(figure):<24}{figure.note}")
    click.echo(f"{'':<44}rightly stopped")
    for name, figure in card.rightly_stopped.items():
        click.echo(f"{name:<44}{figure_text(figure):<24}{figure.note}")
    click.echo(f"Published {modality}/gate ({card.sha256[:12]}), threshold {card.threshold:.4f}.")
