"""``evaluate``: published weights are measured on scans."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.options import SIDES, card_path, runs_option, tell_report

if TYPE_CHECKING:
    from training.evaluation.predict import Skipped
    from training.evaluation.report import Report
    from training.evaluation.subjects import Subjects

SOME_SKIPPED = 3
"""Exit code where something was measured, but not every image could be judged."""
SHOWN_SKIPPED = 10


@click.command()
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    required=True,
    help="weights/<modality> (its active checkpoint) or weights/<modality>/<name>.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV with the columns path,label,source,patient; paths relative to it.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Instead of a manifest: a folder with real/ and fake/<generator>/, or one of them.",
)
@click.option(
    "--dataset",
    help="Instead of a manifest: a prepared data set with its fakes; a name in "
    "training/configs/datasets/, or a TOML file.",
)
@click.option(
    "--side",
    type=click.Choice(SIDES),
    default="test",
    show_default=True,
    help="Of the data set.",
)
@runs_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/evaluation"),
    show_default=True,
    help="Folder for metrics.json, predictions.csv and report.html.",
)
@click.option(
    "--robustness",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=200,
    default=0,
    metavar="[SCANS]",
    help="Also judge a sample (of 200 scans, or so many) after each of twenty harmless changes, "
    "at the threshold as it is.",
)
@click.option(
    "--control-side",
    type=click.IntRange(8),
    multiple=True,
    metavar="PIXELS",
    help="Also measure whole synthetic images against authentic scans that were scaled down to so "
    "many pixels and up again. Name the side at which the generator works; may be repeated.  "
    "[default: those that the data set names]",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the training run, such as runs/systems/<system>, for its curves.",
)
def command(weights: Path, out: Path, run: Path | None, **options: Any) -> None:
    """Judge scans with published weights and measure how well it went.

    The scans are those of a manifest, of a folder or of a prepared data set. Damaged images are
    listed and the rest is measured; the exit code is then 3.
    """
    from app.detection.weights import load_detector
    from training.evaluation.evaluation import Options, evaluate, write_evaluation
    from training.evaluation.robustness import Sample

    detector = load_detector(card_path(weights))
    subjects = _subjects(detector.card.modality, options)
    wanted = Options(
        robustness=Sample(scans=options["robustness"]) if options["robustness"] else None,
        control_sides=options["control_side"] or subjects.control_sides,
    )
    evaluation = evaluate(detector, subjects.scans, subjects.index, wanted)
    write_evaluation(out, evaluation, run=run)
    tell_report(evaluation.report)
    click.echo(f"Report: {out / 'report.html'}")
    _tell_skipped(evaluation.report)
    if any(not skipped.is_judged for skipped in evaluation.report.skipped):
        click.get_current_context().exit(SOME_SKIPPED)


def _subjects(modality: str, options: Mapping[str, Any]) -> "Subjects":
    from training.evaluation.subjects import of_dataset, of_folder, of_manifest

    if sum(options[name] is not None for name in ("manifest", "folder", "dataset")) != 1:
        raise click.UsageError("Name one of --manifest, --folder and --dataset.")
    if options["manifest"] is not None:
        return of_manifest(options["manifest"], modality)
    if options["folder"] is not None:
        return of_folder(options["folder"])
    return of_dataset(options["dataset"], options["side"], modality, options["runs_dir"])


def _tell_skipped(measured: "Report") -> None:
    without_image = [skipped for skipped in measured.skipped if not skipped.is_judged]
    without_edit = [skipped for skipped in measured.skipped if skipped.is_judged]
    _tell_list(without_image, "not judged")
    _tell_list(without_edit, "judged, but not compared with the edit")


def _tell_list(skipped: "list[Skipped]", what: str) -> None:
    if skipped:
        click.echo(f"{len(skipped)} images were {what}:", err=True)
    for one in skipped[:SHOWN_SKIPPED]:
        click.echo(f"  {one.path}: {one.reason}", err=True)
    if len(skipped) > SHOWN_SKIPPED:
        click.echo(f"  … and {len(skipped) - SHOWN_SKIPPED} more, see metrics.json", err=True)
