"""How well the classes can be told apart without looking at what a scan shows.

Each column is one figure of a scan. Its AUC says how well it alone tells fakes from authentic
scans; a small gradient-boosted forest, cross-validated so that a patient is never on both sides of
it, says how well all columns do together. A detector would find the same shortcut.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from app.detection.dicom_header import is_dicom

LIMIT = 0.60
"""Largest AUC of a column, or of all together, that is taken for chance."""
STANDARD_ERRORS = 1.645
"""By how many the AUC of so few scans has to exceed the limit: 5 % of such findings are chance."""
TOGETHER = "together"
FOLDS = 5
FEWEST_FOR_FOREST = 20
BORDER_SHARE = 1 / 32
CORNER_SHARE = 1 / 16
DICOM_HEAD_BYTES = 132

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How well one column tells the classes apart.

    Attributes:
        column: Its name.
        auc: In [0.5, 1], whichever class has the larger values; None where there are too few
            scans of a class.
        limit: Above it is more than chance with so many scans.
    """

    column: str
    auc: float | None
    limit: float = LIMIT

    @property
    def is_shortcut(self) -> bool:
        """Whether a detector could use this column."""
        return self.auc is not None and self.auc > self.limit

    def __str__(self) -> str:
        shown = "undefined" if self.auc is None else f"{self.auc:.2f}"
        return f"{self.column} (AUC {shown}, at most {self.limit:.2f})"


def image_columns(grey: NDArray[np.float32]) -> dict[str, Value]:
    """Return the figures of grey values in [0, 1], shape ``[H, W]``, that show no anatomy.

    ``file_size`` is in bytes a pixel, of the image as an 8-bit PNG file: smooth images are small.
    """
    height, width = grey.shape
    rim = max(1, round(min(height, width) * BORDER_SHARE))
    border = np.concatenate(
        [grey[:rim].ravel(), grey[-rim:].ravel(), grey[:, :rim].ravel(), grey[:, -rim:].ravel()]
    )
    side = max(1, round(min(height, width) * CORNER_SHARE))
    corners = [grey[:side, :side], grey[:side, -side:], grey[-side:, :side], grey[-side:, -side:]]
    buffer = io.BytesIO()
    Image.fromarray(np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
    return {
        "file_size": len(buffer.getvalue()) / grey.size,
        "mean": float(grey.mean()),
        "variance": float(grey.var()),
        "border": float(border.mean()),
        "corners": float(np.mean([corner.mean() for corner in corners])),
    }


def file_columns(path: Path) -> dict[str, Value]:
    """Return what a file's header and size say, without a look at any pixel.

    ``quantisation`` is the mean step of a JPEG file's first table, 0 for other formats.
    ``file_size`` is in bytes a pixel. What is no picture (DICOM, a volume) is told by its name
    and its size alone.
    """
    size_bytes = float(path.stat().st_size)
    try:
        with Image.open(path) as image:
            tables: Mapping[int, Sequence[int]] = getattr(image, "quantization", None) or {}
            steps = next(iter(tables.values()), (0,))
            return {
                "file_format": str(image.format),
                "mode": image.mode,
                "width": float(image.width),
                "height": float(image.height),
                "quantisation": float(np.mean(steps)),
                "file_size": size_bytes / (image.width * image.height),
            }
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        with path.open("rb") as file:
            is_dicom_file = is_dicom(file.read(DICOM_HEAD_BYTES))
        return {"file_format": "DICOM" if is_dicom_file else "".join(path.suffixes).lower()}


def probe(
    rows: Sequence[Mapping[str, Value]],
    is_fake: Sequence[bool],
    groups: Sequence[object],
) -> list[Finding]:
    """Measure every column, and all of them together.

    Args:
        rows: The columns of each scan; one that a scan lacks is left out everywhere.
        is_fake: Of each scan.
        groups: What must stay together when the forest is cross-validated, such as the patient.
    """
    labels = np.asarray(is_fake, dtype=np.int64)
    fakes = int(labels.sum())
    reals = len(labels) - fakes
    names = [n for n in (rows[0] if rows else ()) if all(n in row for row in rows)]
    if not fakes or not reals or not names:
        return [Finding(column=name, auc=None) for name in names]
    limit = _limit(fakes, reals)
    encoded = {name: _encoded([row[name] for row in rows]) for name in names}
    found = [
        Finding(column=name, auc=max(_auc(labels, c) for c in columns.T), limit=limit)
        for name, columns in encoded.items()
    ]
    together = _forest(np.column_stack(list(encoded.values())), labels, groups)
    return [*found, Finding(column=TOGETHER, auc=together, limit=limit)]


def without(rows: Iterable[Mapping[str, Value]], columns: Iterable[str]) -> list[dict[str, Value]]:
    """Return rows without some columns."""
    left_out = set(columns)
    return [{k: v for k, v in row.items() if k not in left_out} for row in rows]


def _limit(fakes: int, reals: int) -> float:
    """Return the AUC that so few scans exceed by chance one time in twenty, from the limit on.

    The standard error is that of the Mann–Whitney statistic: Hanley and McNeil, Radiology 143
    (1982).
    """
    error = np.sqrt((fakes + reals + 1) / (12 * fakes * reals))
    return float(min(LIMIT + STANDARD_ERRORS * error, 1.0))


def _encoded(values: Sequence[Value]) -> NDArray[np.float64]:
    """Return numbers as they are, words as a column for each word, shape ``[N, columns]``."""
    if all(isinstance(value, float) for value in values):
        return np.asarray(values, dtype=np.float64)[:, None]
    words = sorted({str(value) for value in values})
    return np.array([[float(str(value) == word) for word in words] for value in values])


def _auc(labels: NDArray[np.int64], column: NDArray[np.float64]) -> float:
    auc = float(roc_auc_score(labels, column))
    return max(auc, 1 - auc)


def _forest(
    columns: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[object]
) -> float | None:
    numbers = np.unique([str(group) for group in groups], return_inverse=True)[1]
    if min(labels.sum(), (1 - labels).sum()) < FEWEST_FOR_FOREST or len(set(numbers)) < FOLDS:
        return None
    forest = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    said = cross_val_predict(
        forest, columns, labels, groups=numbers, cv=folds, method="predict_proba"
    )
    return max(0.5, float(roc_auc_score(labels, said[:, 1])))
