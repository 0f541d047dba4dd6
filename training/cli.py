"""The command line of the training package."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.errors import VeriscanError
from training.runs import DEFAULT_RUNS_DIR, dataset_paths, system_paths

if TYPE_CHECKING:
    from app.detection.card import Estimate
    from training.data.manifest import Scan
    from training.evaluation.report import Report


class _Group(click.Group):
    """Shows our own errors as one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except VeriscanError as error:
            raise click.ClickException(str(error)) from error


runs_option = click.option(
    "--runs",
    "runs_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_RUNS_DIR,
    show_default=True,
    help="Folder for everything that the stages make.",
)
dataset_option = click.option(
    "--dataset", required=True, help="Name in training/configs/datasets/, or a TOML file."
)


@click.group(cls=_Group)
def main() -> None:
    """Prepare data, make fakes, train, evaluate and publish detectors.

    The stages in order: prepare, fakes, train, evaluate, publish. Each can be stopped and run
    again; it goes on where it was.
    """


@main.command()
@dataset_option
@click.option("--manifest", type=click.Path(path_type=Path, dir_okay=False), required=True)
@runs_option
def prepare(dataset: str, manifest: Path, runs_dir: Path) -> None:
    """Decode the scans of a manifest and put each patient on one side."""
    from training.config import load_dataset_config
    from training.data import prepare as stage

    config = load_dataset_config(dataset)
    scans = stage.prepare(manifest, config, dataset_paths(runs_dir, config.name))
    _tell_counts(scans)


@main.command()
@dataset_option
@runs_option
def fakes(dataset: str, runs_dir: Path) -> None:
    """Fit the generators on the training side and make fakes for every side."""
    from training.config import load_dataset_config
    from training.fakes import produce as stage

    config = load_dataset_config(dataset)
    _tell_counts(stage.produce(config, dataset_paths(runs_dir, config.name)))


system_option = click.option(
    "--system", required=True, help="Name in training/configs/, or a TOML file."
)


@main.command()
@system_option
@runs_option
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Loader processes."
)
def train(system: str, runs_dir: Path, devices: int, nodes: int, workers: int) -> None:
    """Train a detector on the training side, stopping early on the validation side."""
    from training.classifiers import train as stage
    from training.config import load_dataset_config, load_system_config
    from training.fakes.produce import read_dataset

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(runs_dir, dataset.name))
    hardware = stage.Hardware(devices=devices, nodes=nodes, workers=workers)
    best = stage.train(config, scans, system_paths(runs_dir, config.name), hardware)
    click.echo(f"Best checkpoint: {best}")


@main.command()
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    required=True,
    help="weights/<modality> (its active checkpoint) or weights/<modality>/<name>.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="CSV with the columns path,label,source,patient; paths relative to it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/evaluation"),
    show_default=True,
    help="Folder for metrics.json and predictions.csv.",
)
def evaluate(weights: Path, manifest: Path, out: Path) -> None:
    """Judge the scans of a manifest with published weights and measure how well it went."""
    from app.detection.weights import active_checkpoint, load_detector
    from training.data.manifest import read_manifest
    from training.evaluation.predict import predict, write_predictions
    from training.evaluation.report import report, write_report

    if weights.is_dir():
        modality_dir = weights.resolve()
        card_path = active_checkpoint(modality_dir.parent, modality_dir.name)
    else:
        name = weights.name.removesuffix(".safetensors").removesuffix(".json")
        card_path = weights.with_name(f"{name}.json")
    detector = load_detector(card_path)
    scans = read_manifest(manifest, modality=detector.card.modality)
    rows = predict(detector, scans, manifest)
    write_predictions(out / "predictions.csv", rows)
    measured = report(rows, detector.card)
    write_report(out, measured, detector.card)
    _tell_report(measured)


@main.command()
@system_option
@runs_option
@click.option(
    "--weights",
    "weights_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("weights"),
    show_default=True,
    help="Folder that the application serves from.",
)
def publish(system: str, runs_dir: Path, weights_dir: Path) -> None:
    """Calibrate on validation, measure once on the test side and write weights with their card."""
    from training.config import load_dataset_config, load_system_config
    from training.fakes.produce import read_dataset
    from training.publish import Candidate
    from training.publish import publish as stage

    config = load_system_config(system)
    dataset = load_dataset_config(config.dataset)
    candidate = Candidate(
        config=config,
        dataset=dataset,
        scans=read_dataset(dataset, dataset_paths(runs_dir, dataset.name)),
        paths=system_paths(runs_dir, config.name),
    )
    card, measured = stage(candidate, weights_dir)
    _tell_report(measured)
    click.echo(f"Published {card.modality}/{card.name} ({card.sha256[:12]}).")


def _tell_report(measured: "Report") -> None:
    rows = dict(measured.metrics)
    rows |= {f"AUC, {name}": figure for name, figure in measured.auc_by_generator.items()}
    rows |= {f"false alarms, {k}": v for k, v in measured.false_alarms_by_source.items()}
    rows |= {f"pointing game, {k}": v for k, v in measured.pointing_game.items()}
    for name, figure in rows.items():
        click.echo(f"{name:<40}{_figure(figure):<24}{figure.note}")


def _figure(figure: "Estimate") -> str:
    if figure.value is None:
        return "–"
    interval = "" if figure.low is None else f" ({figure.low:.3f}–{figure.high:.3f})"
    return f"{figure.value:.3f}{interval}"


def _tell_counts(scans: list["Scan"]) -> None:
    counts = Counter((s.side, s.generator or s.source) for s in scans)
    for (side, name), count in sorted(counts.items()):
        click.echo(f"{side:<12}{name:<20}{count:>7}")
