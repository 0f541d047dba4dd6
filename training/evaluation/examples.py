"""Scans that the detector had right and wrong, drawn with the evidence that it saw.

The pictures are of patients: they belong into ``runs/``, never into the repository.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from app.detection.decoding import decode_single
from app.detection.explain import heatmap
from app.detection.labels import Label
from app.detection.spec import modality
from app.detection.weights import LoadedDetector
from training.data.manifest import Scan
from training.evaluation.localisation import (
    EDIT_RADIUS_PIXELS,
    AnnotationError,
    over_scan,
    read_mask,
)
from training.evaluation.predict import below
from training.evaluation.prediction_file import Prediction
from training.evaluation.runtime import look
from training.html import picture_uri

LONGEST_SIDE_PIXELS = 320
HEAT = np.array([255, 96, 64], dtype=np.float32)
OUTLINE = np.array([120, 220, 255], dtype=np.float32)

KINDS = {
    "fakes it found": lambda row: row.label == "fake" and row.verdict == "fake",
    "fakes it missed": lambda row: row.label == "fake" and row.verdict == "real",
    "false alarms": lambda row: row.label == "real" and row.verdict == "fake",
    "authentic scans it cleared": lambda row: row.label == "real" and row.verdict == "real",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A scan with the evidence over it.

    Attributes:
        row: What was said of it.
        picture: Address of the picture (``data:``).
        has_outline: Whether the edit is outlined.
    """

    row: Prediction
    picture: str
    has_outline: bool


def examples(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    rows: Sequence[Prediction],
    manifest: Path,
    *,
    each: int = 3,
) -> dict[str, list[Example]]:
    """Return the surest hits and the worst errors, of different generators where there are any.

    Args:
        detector: The network and its card.
        scans: Those that were judged.
        rows: What was said of them.
        manifest: The file that names them.
        each: At most so many of a kind.
    """
    scan_of = {below(manifest, scan): scan for scan in scans}
    return {
        kind: [_example(detector, scan_of[row.path], row) for row in chosen]
        for kind, is_of in KINDS.items()
        if (chosen := _choose([row for row in rows if is_of(row)], each))
    }


def _choose(rows: list[Prediction], count: int) -> list[Prediction]:
    """Return the surest rows, taking generators and sources in turn."""
    rows.sort(key=lambda row: (-abs(row.probability - 0.5), row.path))
    turns: dict[str, int] = {}
    ranked = []
    for row in rows:
        name = row.generator or row.source
        turns[name] = turns.get(name, 0) + 1
        ranked.append((turns[name], row))
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])[:count]]


def _example(detector: LoadedDetector, scan: Scan, row: Prediction) -> Example:
    grey = decode_single(scan.path.read_bytes(), modality(detector.card.modality)).grey
    _, evidence = look(detector, grey)
    warm = heatmap(over_scan(evidence, grey.shape), detector.card.operating_point)
    outline = _outline(scan, grey.shape)
    return Example(row=row, picture=_picture(grey, warm, outline), has_outline=outline is not None)


def _outline(scan: Scan, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the region of an edit as the manifest gives it; None where it does not."""
    if scan.label is Label.REAL:
        return None
    height, width = shape
    try:
        if scan.mask:
            return read_mask(scan, (height, width))
        x, y = round(float(scan.x)), round(float(scan.y))
    except (AnnotationError, ValueError):
        return None
    region = np.zeros((height, width), dtype=np.bool_)
    top, left = max(0, y - EDIT_RADIUS_PIXELS), max(0, x - EDIT_RADIUS_PIXELS)
    region[top : y + EDIT_RADIUS_PIXELS, left : x + EDIT_RADIUS_PIXELS] = True
    return region


def _picture(
    grey: NDArray[np.float32], warm: NDArray[np.float32], region: NDArray[np.bool_] | None
) -> str:
    share = LONGEST_SIDE_PIXELS / max(grey.shape)
    size = (max(1, round(grey.shape[1] * share)), max(1, round(grey.shape[0] * share)))

    def scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))

    base = scaled(grey)[..., None] * np.full(3, 255, dtype=np.float32)
    strength = 0.65 * scaled(warm)[..., None]
    picture = base * (1 - strength) + HEAT * strength
    if region is not None:
        inside = scaled(region.astype(np.float32)) > 0.5
        edge = ndimage.binary_dilation(inside, iterations=2) & ~inside
        picture[edge] = OUTLINE
    return picture_uri(np.clip(picture, 0, 255).round().astype(np.uint8))
