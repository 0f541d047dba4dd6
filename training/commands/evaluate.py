"""``evaluate``: published weights are measured on a manifest."""

from pathlib import Path

import click

from training.commands.options import tell_report


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
def command(weights: Path, manifest: Path, out: Path) -> None:
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
    tell_report(measured)
