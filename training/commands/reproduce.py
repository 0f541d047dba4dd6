"""``reproduce``: every system of the source documents, with our figure beside the published one."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from training.commands.options import budget_from, budget_options, runs_option

NAMED_BUDGETS = ("quick", "cpu", "full")


@click.command()
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The scans; needed for data sets that are not prepared yet.",
)
@click.option("--only", multiple=True, metavar="NAME", help="A system, or a document's number.")
@click.option(
    "--budget",
    "budget_name",
    type=click.Choice(NAMED_BUDGETS),
    default="full",
    show_default=True,
    help="Minutes for all rows, hours on a CPU, or what the documents say.",
)
@click.option("--quick", is_flag=True, help="The same as --budget quick.")
@budget_options
@click.option(
    "--rows",
    "rows_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Another list of published figures than the documents'.",
)
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="For the table.")
@runs_option
def command(manifest: Path | None, runs_dir: Path, out: Path | None, **options: Any) -> None:
    """Reproduce the systems of the source documents.

    Prepares, makes fakes, trains and measures whatever is missing, and prints our figures beside
    the published ones. It can be stopped and run again. A row that fails is shown as failed and
    stops no other. Limits such as --max-epochs tighten the budget.
    """
    from training.classifiers.train import Hardware
    from training.errors import ReproductionIncompleteError
    from training.reproduction.laboratory import BUDGETS, Laboratory
    from training.reproduction.rows import PUBLISHED_FILE, choose_rows, load_rows
    from training.reproduction.run import reproduce
    from training.reproduction.table import reproduction_markdown, write_table

    name = "quick" if options["quick"] else options["budget_name"]
    tighter = {k: v for k, v in asdict(budget_from(options)).items() if v is not None}
    budget = replace(BUDGETS[name], **tighter)
    rows = choose_rows(load_rows(options["rows_file"] or PUBLISHED_FILE), options["only"])
    laboratory = Laboratory(
        runs_dir=runs_dir,
        manifest=manifest,
        budget=budget,
        hardware=Hardware(workers=options["workers"]),
    )
    folder = out or runs_dir / "reproduction" / name
    results = []
    with redirect_stdout(sys.stderr):  # progress bars; the table alone goes to stdout
        for result in reproduce(rows, laboratory):
            results.append(result)
            write_table(folder, results, budget=asdict(budget))
            state = f"failed: {result.failure}" if result.failure else "done"
            place = f"[{len(results)}/{len(rows)}]"
            click.echo(f"{place} {result.row.system}: {state} ({result.seconds:.0f} s)")
    click.echo(reproduction_markdown(results), nl=False)
    if failed := [r.row.system for r in results if r.failure]:
        raise ReproductionIncompleteError(failed)
