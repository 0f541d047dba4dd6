"""Where a network sees the fake: its own per-cell logits, made comparable and fit to be drawn."""

import numpy as np
from numpy.typing import NDArray

from app.detection.verdict import OperatingPoint


def heatmap(evidence: NDArray[np.float32], operating_point: OperatingPoint) -> NDArray[np.float32]:
    """Turn per-cell logits into evidence for FAKE that can be drawn over the scan.

    These logits are an exact decomposition of the verdict, not a post-hoc estimate: where the head
    is linear, each cell's own (class activation mapping; Zhou et al., CVPR 2016), elsewhere its
    share of the scan's (``Detector.cells_judge_alone``). They pass through the same calibration as
    the verdict; cells that are not above the threshold are left empty, so an authentic scan stays
    quiet.

    Args:
        evidence: Logits of the cells, float32, shape ``[h, w]``.
        operating_point: From the card of the weights.

    Returns:
        float32 in [0, 1], shape ``[h, w]``: 0 at or below the threshold, 1 at certainty.
    """
    scaled = (evidence - operating_point.bias) / operating_point.temperature
    probability = 1 / (1 + np.exp(-np.clip(scaled, -60, 60)))
    threshold = operating_point.threshold
    headroom = max(1 - threshold, 1e-6)
    above: NDArray[np.float32] = np.clip((probability - threshold) / headroom, 0, 1)
    return above.astype(np.float32)
