"""Where a network sees the fake: its own per-cell logits, made comparable and fit to be drawn."""

import numpy as np
from numpy.typing import NDArray

from app.detection.verdict import OperatingPoint


def heatmap(
    evidence: NDArray[np.float32],
    operating_point: OperatingPoint,
    probability: float | None = None,
) -> NDArray[np.float32]:
    """Turn per-cell logits into evidence for FAKE that can be drawn over the scan.

    These logits are an exact decomposition of the verdict, not a post-hoc estimate: where the head
    is linear, each cell's own (class activation mapping; Zhou et al., CVPR 2016), elsewhere its
    share of the scan's (``Detector.cells_judge_alone``). They pass through the same calibration as
    the verdict; cells that are not above the threshold are left empty.

    The scale is absolute: nothing is stretched to the strongest cell. No cell is drawn stronger
    than the scan as a whole stands above the scores of authentic scans, so a scan that is called
    real has an empty map, and one that is barely suspicious a faint one. A network that pools over
    a thousand cells needs more than one of them to call a scan fake, and so does the map.

    Args:
        evidence: Logits of the cells, float32, shape ``[h, w]``.
        operating_point: From the card of the weights.
        probability: Calibrated probability of FAKE of the scan, in [0, 1]; None draws the cells
            whatever the scan got.

    Returns:
        float32 in [0, 1], shape ``[h, w]``: 0 at or below the threshold, 1 at certainty.
    """
    scaled = (evidence - operating_point.bias) / operating_point.temperature
    cells = 1 / (1 + np.exp(-np.clip(scaled, -60, 60)))
    drawn = _above(cells, operating_point.threshold)
    if probability is not None:
        low, _ = operating_point.inconclusive_band
        drawn = np.minimum(drawn, _above(np.array(probability), low))
    return drawn.astype(np.float32)


def _above(probability: NDArray[np.floating], least: float) -> NDArray[np.floating]:
    """Return how far probabilities lie on the way from ``least`` to certainty, in [0, 1]."""
    share: NDArray[np.floating] = np.clip((probability - least) / max(1 - least, 1e-6), 0, 1)
    return share
