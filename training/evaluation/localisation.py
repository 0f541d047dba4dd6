"""Whether a heatmap shows where a scan was edited.

Three figures for local edits. The pointing game (Zhang et al., "Top-down Neural Attention by
Excitation Backprop", ECCV 2016) asks whether the strongest evidence lies inside the edit. The patch
AUC, a definition of our own, asks how often the edited patch has more evidence than another one of
the same scan, which a forger might have chosen: AUC within each scan, of which a report gives the
mean. Nothing is known of the other patches but that the manifest does not name them. IoU compares
the edit's mask with what the heatmap lights: where evidence, brought to the scan's resolution, is
above the detector's own threshold. That is what a person is shown of a scan that is not called
real; of one that is they see nothing, and each figure counts it all the same. Nothing is tuned on
masks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from app.detection.explain import heatmap
from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from training.data.manifest import Scan
from training.errors import TrainingError
from training.fakes.sites import Sites

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
        patch_auc: AUC of the edited patch against others of the same scan, in [0, 1].
    """

    peak_x: int
    peak_y: int
    peak_in_mask: str = ""
    edit_pixels: int | None = None
    edit_share: float | None = None
    edit_box: str = ""
    iou: float | None = None
    patch_auc: float | None = None


def localise(
    scan: Scan,
    evidence: NDArray[np.float32],
    shape: tuple[int, int],
    point: OperatingPoint,
    find_sites: Callable[[], Sites] | None = None,
) -> Localisation:
    """Compare evidence with what the manifest says of the edit.

    Args:
        scan: Its mask, or the centre of its edit, is looked at if it is a fake.
        evidence: Logits of the cells over the scan, float32, shape ``[h, w]``.
        shape: Of the scan, rows and columns in pixels.
        point: Says from which evidence on the heatmap is lit.
        find_sites: Returns where the scan might have been edited; without it there is no patch AUC.

    Raises:
        AnnotationError: Mask or centre cannot be used.
    """
    cell = np.unravel_index(int(evidence.argmax()), evidence.shape)
    y = int((cell[0] + 0.5) * shape[0] / evidence.shape[0])
    x = int((cell[1] + 0.5) * shape[1] / evidence.shape[1])
    found = Localisation(peak_x=x, peak_y=y)
    if scan.label is Label.FAKE and scan.mask:
        mask = read_mask(scan, shape)
        if mask.mean() >= WHOLE_IMAGE_SHARE:
            return found
        box = _box(mask)
        found = replace(
            found,
            peak_in_mask=str(int(mask[y, x])),
            edit_pixels=int(mask.sum()),
            edit_share=float(mask.mean()),
            edit_box=f"{box.left} {box.top} {box.right} {box.bottom}",
            iou=_iou(mask, lit(evidence, shape, point)),
        )
    elif scan.label is Label.FAKE and scan.x and scan.y:
        row, column = _number(scan, "y"), _number(scan, "x")
        distance = max(abs(x - column), abs(y - row))
        found = replace(found, peak_in_mask=str(int(distance <= EDIT_RADIUS_PIXELS)))
        box = _box_around(row, column, shape)
    else:
        return found
    if find_sites is None:
        return found
    return replace(found, patch_auc=_patch_auc(over_scan(evidence, shape), box, find_sites()))


class _Box(NamedTuple):
    """First and last row and column of a part of a scan."""

    top: int
    left: int
    bottom: int
    right: int


def _box(mask: NDArray[np.bool_]) -> _Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return _Box(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def _box_around(row: float, column: float, shape: tuple[int, int]) -> _Box:
    """Return the square around an edit whose centre alone is known.

    Raises:
        AnnotationError: The centre lies outside the scan.
    """
    middle = int(row + 0.5), int(column + 0.5)
    if not (middle[0] < shape[0] and middle[1] < shape[1]):
        raise AnnotationError(
            f"the centre of its edit lies outside the scan of {shape[1]} × {shape[0]} pixels"
        )
    top, left = (max(0, at - EDIT_RADIUS_PIXELS) for at in middle)
    bottom, right = (
        min(side - 1, at + EDIT_RADIUS_PIXELS) for at, side in zip(middle, shape, strict=True)
    )
    return _Box(top, left, bottom, right)


def _patch_auc(evidence: NDArray[np.float32], edited: _Box, sites: Sites) -> float | None:
    """Return how often an edited patch has more evidence than others, in [0, 1]; a tie is a half.

    A patch has the strongest evidence in it. The others are squares as wide as the longer side of
    the edited one, which do not overlap it. None where the scan offers none.

    Args:
        evidence: At the scan's resolution.
        edited: Where the edit is.
        sites: Centres of the others. Structures and plain tissue weigh alike where both are there.
    """
    own = evidence[edited.top : edited.bottom + 1, edited.left : edited.right + 1].max()
    side = 1 + max(edited.bottom - edited.top, edited.right - edited.left)
    strongest = ndimage.maximum_filter(evidence, side)
    middle = (edited.top + edited.bottom) / 2, (edited.left + edited.right) / 2
    found = []
    for points in (sites.structures, sites.plain):
        apart = np.abs(points - middle).max(1) >= side
        others = strongest[tuple(points[apart].T)]
        if len(others):
            found.append(float((others < own).mean() + (others == own).mean() / 2))
    return sum(found) / len(found) if found else None


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


def _iou(mask: NDArray[np.bool_], lit_pixels: NDArray[np.bool_]) -> float:
    return float((mask & lit_pixels).sum() / (mask | lit_pixels).sum())


def _number(scan: Scan, column: str) -> float:
    value = getattr(scan, column)
    try:
        return float(value)
    except ValueError:
        raise AnnotationError(f"its {column} {value!r} is no number") from None
