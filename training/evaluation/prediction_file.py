"""The prediction file: what a detector says of each scan, from which every figure is computed."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.errors import PredictionsError


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
        tamper: Kind of the edit, as in the manifest.
        width: Of the scan, in pixels.
        height: Of the scan, in pixels.
        edit_pixels: Pixels of the edit's mask; None where there is none.
        edit_share: The same as a share of the scan, in (0, 1].
        edit_box: First column, first row, last column and last row of the mask, or empty.
        iou: Of the mask and what the heatmap lights, in [0, 1].
        patch_auc: AUC of the edited patch against others of the same scan, in [0, 1].
        variation: What was done to the scan before it was judged; empty for nothing.
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
    tamper: str = ""
    width: int = 0
    height: int = 0
    edit_pixels: int | None = None
    edit_share: float | None = None
    edit_box: str = ""
    iou: float | None = None
    patch_auc: float | None = None
    variation: str = ""


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write a prediction file; what is not known stays empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Prediction)])
        writer.writeheader()
        writer.writerows(asdict(p) for p in predictions)


_FROM_TEXT: Mapping[object, Callable[[str], object]] = {
    str: str,
    int: int,
    float: float,
    int | None: lambda text: int(text) if text else None,
    float | None: lambda text: float(text) if text else None,
}


def read_predictions(path: Path) -> list[Prediction]:
    """Read a prediction file; columns that an older one lacks come back empty.

    Raises:
        PredictionsError: It is not there, or a column or a number cannot be used.
    """
    kinds = {f.name: f.type for f in fields(Prediction)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Prediction(**{name: _FROM_TEXT[kinds[name]](text) for name, text in row.items()})  # type: ignore[arg-type]  # of mixed types
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise PredictionsError(str(path), f"it cannot be used ({error})") from error
