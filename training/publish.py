"""The last stage: choose the operating point, measure once on the test side, write the card."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.card import Card, DataSource, Estimate
from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from app.detection.weights import ACTIVE_FILE, CHECKPOINT_SUFFIX, LoadedDetector
from training.classifiers.calibration import calibrate
from training.config import DatasetConfig, SystemConfig
from training.data.manifest import LABELS, Scan, on_side
from training.data.splits import SIDES
from training.errors import (
    ConfigError,
    PublicationRefusedError,
    StageMissingError,
    TrainingError,
)
from training.evaluation.metrics import METRICS
from training.evaluation.predict import predict, write_predictions
from training.evaluation.report import Report, report, write_report
from training.runs import SystemPaths

UNCALIBRATED = OperatingPoint(
    temperature=1.0, bias=0.0, threshold=0.5, inconclusive_band=(0.5, 0.5)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained checkpoint on its way to publication.

    Attributes:
        config: Of the system.
        dataset: Of the data set.
        scans: The whole data set.
        paths: Of the system's run.
    """

    config: SystemConfig
    dataset: DatasetConfig
    scans: Sequence[Scan]
    paths: SystemPaths


def evaluate_candidate(candidate: Candidate) -> tuple[LoadedDetector, bytes, Report]:
    """Calibrate on the validation side and measure on the test side.

    Both happen with the weights as they will be published, rounded to float16.

    Returns:
        The detector with its card, the checkpoint file and the report.

    Raises:
        StageMissingError: The system is not trained.
        TooFewScansError: The validation side is too small.
    """
    data = _checkpoint_bytes(candidate)
    detector = _detector(candidate, data)
    index = candidate.scans[0].path.parent / "index"
    validation = predict(
        detector, on_side(candidate.scans, "validation"), index, task="judging validation"
    )
    logits = np.array([row.logit for row in validation])
    labels = np.array([int(LABELS[row.label]) for row in validation])
    point = calibrate(logits, labels, max_error=candidate.config.max_error_outside_band)
    detector = replace(detector, card=replace(detector.card, operating_point=point))
    rows = predict(detector, on_side(candidate.scans, "test"), index, task="judging test")
    write_predictions(candidate.paths.evaluation_dir / "predictions.csv", rows)
    own = [f.generator for f in candidate.dataset.fakes]
    measured = report(rows, detector.card, in_distribution=own)
    write_report(candidate.paths.evaluation_dir, measured, detector.card)
    card = replace(
        detector.card,
        metrics=_card_metrics(measured),
        metrics_by_generator=dict(measured.auc_by_generator),
    )
    return replace(detector, card=card), data, measured


def publish(candidate: Candidate, weights_dir: Path) -> tuple[Card, Report]:
    """Evaluate and, if the minimums are reached, write checkpoint and card and make them active.

    Raises:
        ConfigError: A minimum is demanded of something that is no metric.
        PublicationRefusedError: A metric is below the config's minimum.
    """
    _check_minimums(candidate.config)
    detector, data, measured = evaluate_candidate(candidate)
    for metric, minimum in candidate.config.minimums.items():
        value = measured.metrics[metric].value
        if value is None or value < minimum:
            raise PublicationRefusedError(metric, value, minimum)
    folder = weights_dir / detector.card.modality
    folder.mkdir(parents=True, exist_ok=True)
    _write_whole(folder / f"{detector.card.name}{CHECKPOINT_SUFFIX}", data)
    _write_whole(folder / f"{detector.card.name}.json", detector.card.to_json().encode())
    activate(weights_dir, detector.card.modality, detector.card.name)
    return detector.card, measured


def _check_minimums(config: SystemConfig) -> None:
    for metric in config.minimums:
        if metric not in METRICS:
            known = ", ".join(METRICS)
            problem = f"minimums: there is no metric {metric!r}. Known: {known}."
            raise ConfigError(Path(f"{config.name}.toml"), problem)


def activate(weights_dir: Path, modality: str, name: str) -> None:
    """Name the checkpoint that serves a modality in ``active.toml``."""
    path = weights_dir / ACTIVE_FILE
    active = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    active[modality] = name
    lines = ["# The checkpoint that serves each modality."]
    lines += [f'{key} = "{value}"' for key, value in sorted(active.items())]
    _write_whole(path, ("\n".join(lines) + "\n").encode())


def _checkpoint_bytes(candidate: Candidate) -> bytes:
    path = candidate.paths.best_checkpoint
    if not path.exists():
        raise StageMissingError(f"python -m training train --system {candidate.config.name}")
    tensors = safetensors.torch.load_file(path)
    halves = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    overflown = [k for k, v in halves.items() if v.is_floating_point() and not v.isfinite().all()]
    if overflown:
        raise TrainingError(f"Not published: {overflown[0]} does not fit into float16.")
    return safetensors.torch.save(halves)


def _detector(candidate: Candidate, data: bytes) -> LoadedDetector:
    config = candidate.config
    network = build(config.architecture)
    network.load_state_dict(
        {
            k: v.float() if v.is_floating_point() else v
            for k, v in safetensors.torch.load(data).items()
        }
    )
    card = Card(
        name=config.name.removeprefix(f"{candidate.dataset.modality}_"),
        modality=candidate.dataset.modality,
        sha256=sha256(data).hexdigest(),
        created=datetime.now(UTC).date().isoformat(),
        architecture=config.architecture,
        preprocessing=config.preprocessing,
        operating_point=UNCALIBRATED,
        metrics={},
        metrics_by_generator={},
        data=data_sources(candidate.scans),
        intended_use=config.intended_use,
        limits=tuple(config.limits),
        training={
            "system": config.name,
            "dataset": config.dataset,
            "seed": config.seed,
            "initialisation": candidate.paths.initialisation.read_text("utf-8").strip(),
            "torch": torch.__version__,
        },
    )
    return LoadedDetector(network=network.eval(), card=card)


def data_sources(scans: Sequence[Scan]) -> tuple[DataSource, ...]:
    """Return what each source, and each generator, contributed."""
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        made_here = scan.label is Label.FAKE and scan.seed
        name = f"{scan.generator} (made here)" if made_here else scan.source
        groups.setdefault(name, []).append(scan)
    return tuple(
        DataSource(
            name=name,
            use=", ".join(side for side in SIDES if any(s.side == side for s in group)),
            scans=len(group),
            patients=len({s.person for s in group if s.origin or not s.seed}),
            licence="; ".join(sorted({s.licence for s in group if s.licence})),
        )
        for name, group in sorted(groups.items())
    )


def _card_metrics(measured: Report) -> dict[str, Estimate]:
    pointing = {f"pointing_game_{k}": v for k, v in measured.pointing_game.items()}
    alarms = {f"false_alarm_rate_{k}": v for k, v in measured.false_alarms_by_source.items()}
    return dict(measured.metrics) | pointing | alarms


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
