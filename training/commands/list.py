"""``list``: the names that commands and configs take, and what was made of them so far."""

from pathlib import Path

import click

from training.commands.options import runs_option, weights_dir_option

KINDS = ("generators", "sources", "datasets", "networks", "systems")


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@runs_option
@weights_dir_option
def command(kinds: tuple[str, ...], runs_dir: Path, weights_dir: Path) -> None:
    """List generators, public sets, data sets, networks and systems; or only some of these."""
    from training import inventory
    from training.tables import markdown_table

    folders = inventory.Folders(runs=runs_dir, weights=weights_dir)
    tables = []
    for name in kinds or KINDS:
        kind = inventory.KINDS[name]
        tables.append(f"{kind.title}\n\n{markdown_table(kind.head, list(kind.rows(folders)))}")
    click.echo("\n".join(tables), nl=False)
