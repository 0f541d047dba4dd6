"""``rollback``: a modality goes back to weights that served it before."""

from pathlib import Path

import click

from training.commands.options import weights_dir_option


@click.command()
@click.argument("modality")
@click.option("--to", metavar="SHA", help="First characters of the checkpoint's SHA-256.")
@weights_dir_option
def command(modality: str, to: str | None, weights_dir: Path) -> None:
    """Let the weights serve MODALITY that served it before.

    Each publication keeps the pair that it replaces in weights/<modality>/former/. Running this
    again goes one step further back.
    """
    from training.shelf import Shelf

    served = Shelf(weights_dir, modality).rollback(to)
    click.echo(f"{modality} is served by {served} again.")
