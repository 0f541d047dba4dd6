"""``compare``: systems side by side on the same scans."""

from pathlib import Path

import click

from training.commands.options import runs_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN…")
@runs_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for comparison.json, comparison.csv and comparison.md.",
)
def command(runs: tuple[str, ...], runs_dir: Path, out: Path | None) -> None:
    """Put systems side by side on the same scans, each against the first.

    A RUN is a trained and evaluated system by its name, published weights
    (weights/<modality>/<name>), or a prediction file. Each metric comes with an interval, the
    difference with a paired interval by patient and a p-value.
    """
    if len(runs) < 2:
        raise click.UsageError("Name two systems or more.")
    from training.evaluation.compare import (
        compare_systems,
        comparison_markdown,
        find_system,
        write_comparison,
    )

    pairs = compare_systems([find_system(run, runs_dir) for run in runs])
    click.echo(comparison_markdown(pairs), nl=False)
    if out is not None:
        write_comparison(out, pairs)
