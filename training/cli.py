"""The command line of the training package: the stages in their order."""

import importlib
import pkgutil

import click

from app.errors import VeriscanError
from training import commands


class _Commands(click.Group):
    """Finds one command in each file of ``training.commands``; shows our errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the files, with dashes for underscores."""
        files = pkgutil.iter_modules(commands.__path__)
        return sorted(f.name.replace("_", "-") for f in files if f.name != "options")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name; None if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        found: click.Command = module.command
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except VeriscanError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
def main() -> None:
    """Prepare data, make fakes, train, evaluate and publish detectors.

    The stages in order: prepare, fakes, train, evaluate, publish. Each can be stopped and run
    again; it goes on where it was. `list` names what there is to choose from.
    """
