"""The prediction file: what a published detector says of each scan of a manifest."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from app.detection.card import Card
from app.detection.decoding import decode
from app.detection.labels import Label
from app.detection.preprocessing import preprocess, square_to_scan
from app.detection.spec import modality
from app.detection.weights import LoadedDetector
from app.errors import UploadError
from training.data.manifest import LABEL_NAMES, Scan
from training.errors import ManifestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A row of the prediction file.

    Attributes:
        path: As in the manifest, relative to its folder.
        label: ``real`` or ``fake``.
        generator: What made the fake; empty for authentic scans.
        person: Patient, unique over all sources.
        logit: Before calibration.
        probability: Calibrated, in [0, 1].
        verdict: ``real``, ``fake`` or ``inconclusive``.
        peak_x: Column of the strongest evidence for FAKE, in pixels of the scan.
        peak_y: Row of it.
        peak_in_mask: 1 or 0 where the manifest names a mask or a centre of the edit, else empty.
    """

    path: str
    label: str
    source: str
    generator: str
    person: str
    logit: float
    probability: float
    verdict: str
    peak_x: int
    peak_y: int
    peak_in_mask: str


EDIT_RADIUS_PIXELS = 16
"""Where only an edit's centre is known: CT-GAN's hole is about as wide as this on either side."""


def predict(
    detector: LoadedDetector, scans: Sequence[Scan], manifest: Path, *, task: str = "judging"
) -> list[Prediction]:
    """Judge scans through the same decoder, transform and network that serve.

    They go through one at a time: on a CPU a batch takes longer for each of its scans.

    Args:
        detector: The network and its card.
        scans: What to judge.
        manifest: The file that names them; paths are given relative to its folder.
        task: Name of the progress bar.

    Raises:
        ManifestError: An image cannot be decoded.
    """
    spec = modality(detector.card.modality)
    rows: list[Prediction] = []
    for scan in tqdm(scans, desc=task, unit="scan"):
        try:
            grey = decode(scan.path.read_bytes(), spec).grey
        except UploadError as error:
            raise ManifestError(manifest, f"{_below(manifest, scan)}: {error}") from error
        image = preprocess(grey, detector.card.preprocessing)
        with torch.inference_mode():
            output = detector.network(image[None])
        evidence = square_to_scan(output.evidence[0].numpy(), *grey.shape)
        logit = float(output.logits[0])
        rows.append(_row(scan, detector.card, logit, evidence, grey.shape, manifest))
    return rows


def _row(
    scan: Scan,
    card: Card,
    logit: float,
    evidence: NDArray[np.float32],
    shape: tuple[int, ...],
    manifest: Path,
) -> Prediction:
    probability = card.operating_point.probability(logit)
    peak_row, peak_column = np.unravel_index(int(evidence.argmax()), evidence.shape)
    peak_y = int((peak_row + 0.5) * shape[0] / evidence.shape[0])
    peak_x = int((peak_column + 0.5) * shape[1] / evidence.shape[1])
    return Prediction(
        path=_below(manifest, scan),
        label=LABEL_NAMES[scan.label],
        source=scan.source,
        generator=scan.generator,
        person=scan.person,
        logit=logit,
        probability=probability,
        verdict=card.operating_point.verdict(probability).value,
        peak_x=peak_x,
        peak_y=peak_y,
        peak_in_mask=_peak_in_mask(scan, peak_x, peak_y),
    )


def _below(manifest: Path, scan: Scan) -> str:
    if scan.path.is_relative_to(manifest.parent):
        return str(scan.path.relative_to(manifest.parent))
    return str(scan.path)


def _peak_in_mask(scan: Scan, peak_x: int, peak_y: int) -> str:
    if scan.label is Label.REAL:
        return ""
    if scan.mask:
        with Image.open(scan.mask) as mask:
            return str(int(np.asarray(mask.convert("L"))[peak_y, peak_x] > 127))
    if scan.x and scan.y:
        distance = max(abs(peak_x - float(scan.x)), abs(peak_y - float(scan.y)))
        return str(int(distance <= EDIT_RADIUS_PIXELS))
    return ""


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write the prediction file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Prediction)])
        writer.writeheader()
        writer.writerows(asdict(p) for p in predictions)
