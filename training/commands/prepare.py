"""``prepare``: from a manifest or public sets to decoded scans on their sides."""

from pathlib import Path
from typing import Any

import click

from training.commands.options import dataset_option, runs_option, tell_counts
from training.runs import dataset_paths

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@dataset_option
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV with the columns path, label, source, patient; side, origin and others if known.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="A public set, such as ctgan or folder; each goes with a --root. Several are possible.",
)
@click.option("--root", "roots", type=FOLDER, multiple=True, help="Where that set was unpacked to.")
@click.option(
    "--from-app",
    type=FOLDER,
    help="What `flask export-labels` wrote: contested scans that reviewers settled.",
)
@click.option(
    "--every-slice",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Of a volume's middle, take every so many-th slice.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many scans of each source.")
@click.option(
    "--skip-unreadable", is_flag=True, help="Leave out what cannot be decoded, and list it."
)
@click.option(
    "--accept-shortcut",
    "accepted",
    multiple=True,
    metavar="COLUMN",
    help="Go on although this column tells the files of the classes apart.",
)
@runs_option
def command(dataset: str, manifest: Path | None, runs_dir: Path, **options: Any) -> None:
    """Decode scans and put each patient on one side.

    Refused, with the row or column named: what cannot be decoded, a patient or an image on two
    sides, one image of two patients, fakes whose files differ from the authentic ones.
    """
    from training.config import load_dataset_config
    from training.data import prepare as stage
    from training.data.overview import write_overview
    from training.data.sources.base import SourceOptions
    from training.data.sources.veriscan_reviews import NAME as REVIEWS

    names, roots = options["sources"], options["roots"]
    if len(names) != len(roots):
        raise click.UsageError("Each --source needs a --root, in the same order.")
    config = load_dataset_config(dataset)
    paths = dataset_paths(runs_dir, config.name)
    sources = list(zip(names, roots, strict=True))
    if options["from_app"] is not None:
        sources.append((REVIEWS, options["from_app"] / config.modality))
    wanted = stage.PrepareOptions(
        sources=tuple(sources),
        source_options=SourceOptions(every_slice=options["every_slice"], limit=options["limit"]),
        skip_unreadable=options["skip_unreadable"],
        accepted=options["accepted"],
    )
    scans = stage.prepare(manifest, config, paths, wanted)
    tell_counts(scans)
    for source in sorted(config.own_sides.keys() - {scan.source for scan in scans}):
        click.echo(f"own_sides names {source!r}, but no scan is from there.", err=True)
    for name, problem in stage.unreadable_in(paths):
        click.echo(f"left out: {name}: {problem}", err=True)
    click.echo(f"Report: {write_overview(config, paths)}")
