"""Whether a heatmap shows where a scan was edited.

Two figures for local edits. The pointing game (Zhang et al., "Top-down Neural Attention by
Excitation Backprop", ECCV 2016) asks whether the strongest evidence lies inside the edit. IoU
compares the edit's mask with what the heatmap lights: where evidence, brought to the scan's
resolution, is above the detector's own threshold. That is what a person is shown of a scan that is
not called real; of one that is they see nothing, and both figures count it all the same. Nothing is
tuned on masks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from app.detection.explain import heatmap
from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from training.data.manifest import Scan
from training.errors import TrainingError

EDIT_RADIUS_PIXELS = 16
"""Where only an edit's centre is known: CT-GAN's hole is about as wide as this on either side."""

WHOLE_IMAGE_SHARE = 0.9
"""A mask over at least this share of the scan marks a whole synthetic image, not an edit."""


class AnnotationError(TrainingError):
    """A mask or the centre of an edit cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Localisation:
    """Where a fake was edited and how well the evidence shows it; empty where not known.

    Attributes:
        peak_x: Column of the strongest evidence for FAKE, in pixels of the scan.
        peak_y: Row of it.
        peak_in_mask: ``1`` or ``0``, or empty where nothing says where the edit is.
        edit_pixels: Pixels of the mask.
        edit_share: The same as a share of the scan, in (0, 1].
        edit_box: First column, first row, last column and last row of the mask.
        iou: Of the mask and what the heatmap lights, in [0, 1].
    """

    peak_x: int
    peak_y: int
    peak_in_mask: str = ""
    edit_pixels: int | None = None
    edit_share: float | None = None
    edit_box: str = ""
    iou: float | None = None


def localise(
    scan: Scan, evidence: NDArray[np.float32], shape: tuple[int, int], point: OperatingPoint
) -> Localisation:
    """Compare evidence with what the manifest says of the edit.

    Args:
        scan: Its mask, or the centre of its edit, is looked at if it is a fake.
        evidence: Logits of the cells over the scan, float32, shape ``[h, w]``.
        shape: Of the scan, rows and columns in pixels.
        point: Says from which evidence on the heatmap is lit.

    Raises:
        AnnotationError: Mask or centre cannot be used.
    """
    row, column = np.unravel_index(int(evidence.argmax()), evidence.shape)
    y = int((row + 0.5) * shape[0] / evidence.shape[0])
    x = int((column + 0.5) * shape[1] / evidence.shape[1])
    if scan.label is Label.FAKE and scan.mask:
        mask = read_mask(scan, shape)
        if mask.mean() < WHOLE_IMAGE_SHARE:
            return _in_mask(mask, lit(evidence, shape, point), x, y)
    elif scan.label is Label.FAKE and scan.x and scan.y:
        distance = max(abs(x - _number(scan, "x")), abs(y - _number(scan, "y")))
        found = str(int(distance <= EDIT_RADIUS_PIXELS))
        return Localisation(peak_x=x, peak_y=y, peak_in_mask=found)
    return Localisation(peak_x=x, peak_y=y)


def lit(
    evidence: NDArray[np.float32], shape: tuple[int, int], point: OperatingPoint
) -> NDArray[np.bool_]:
    """Return where the heatmap is lit, at the scan's resolution: bool, of this shape."""
    return heatmap(over_scan(evidence, shape), point) > 0


def over_scan(evidence: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the evidence at the scan's resolution, interpolated between the cells' centres."""
    cells = torch.from_numpy(np.ascontiguousarray(evidence))[None, None]
    return functional.interpolate(cells, size=shape, mode="bilinear", align_corners=False)[
        0, 0
    ].numpy()


def read_mask(scan: Scan, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where a scan was edited, bool, of this shape.

    Raises:
        AnnotationError: There is no such file, it is no image, of another size or empty.
    """
    try:
        with Image.open(scan.mask) as image:
            mask = np.asarray(image.convert("L")) > 127
    except (OSError, SyntaxError, ValueError) as error:
        raise AnnotationError(f"its mask {scan.mask} cannot be read") from error
    if mask.shape != shape:
        raise AnnotationError(
            f"its mask is {mask.shape[1]} × {mask.shape[0]} pixels, "
            f"the scan {shape[1]} × {shape[0]}"
        )
    if not mask.any():
        raise AnnotationError("its mask marks nothing (white must be where the scan was edited)")
    return mask


def _in_mask(mask: NDArray[np.bool_], lit_cells: NDArray[np.bool_], x: int, y: int) -> Localisation:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Localisation(
        peak_x=x,
        peak_y=y,
        peak_in_mask=str(int(mask[y, x])),
        edit_pixels=int(mask.sum()),
        edit_share=float(mask.mean()),
        edit_box=f"{columns[0]} {rows[0]} {columns[-1]} {rows[-1]}",
        iou=float((mask & lit_cells).sum() / (mask | lit_cells).sum()),
    )


def _number(scan: Scan, column: str) -> float:
    value = getattr(scan, column)
    try:
        return float(value)
    except ValueError:
        raise AnnotationError(f"its {column} {value!r} is no number") from None
