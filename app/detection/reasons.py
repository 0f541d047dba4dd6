"""The sentences that explain a verdict to a clinician. All of the engine's wording is here."""

import numpy as np
from numpy.typing import NDArray

from app.detection.labels import Verdict
from app.detection.verdict import OperatingPoint

SPREAD_SHARE = 0.5
"""From this share of marked cells on, the evidence is said to be spread over the scan."""
WHOLE_SHARE = 0.98
"""From this share on, it is said to be spread over all of it."""


def reasons_for(
    verdict: Verdict, operating_point: OperatingPoint, heatmap: NDArray[np.float32]
) -> tuple[str, ...]:
    """Say why a scan got its verdict.

    Args:
        verdict: What the scan got.
        operating_point: From the card of the weights.
        heatmap: Evidence for FAKE, float32 in [0, 1], shape ``[h, w]``.

    Returns:
        One or two sentences.
    """
    low, high = (_score(limit) for limit in operating_point.inconclusive_band)
    if verdict is Verdict.FAKE:
        return (
            f"The score lies above {high}, the limit over which this detector calls a scan fake.",
            _where(heatmap),
        )
    if verdict is Verdict.REAL:
        first = (
            f"The score lies below {low}, the limit under which this detector calls a scan real."
        )
        if not heatmap.any():
            return (first, "No part of the scan speaks for a fake.")
        return (first, _where(heatmap) + " Taken together this is too little to call it a fake.")
    return (
        f"The score lies between {low} and {high}, where this detector errs too often to give a "
        "verdict.",
        "Go back to the scanner's original, and do not take this result for either answer.",
    )


def _where(heatmap: NDArray[np.float32]) -> str:
    """Say which share of the scan speaks for a fake."""
    share = float(np.count_nonzero(heatmap)) / heatmap.size
    if share == 0:
        return "The evidence is faint everywhere; no part of the scan stands out."
    if share >= WHOLE_SHARE:
        return "The evidence is spread over the whole scan."
    if share >= SPREAD_SHARE:
        return f"The evidence is spread over about {_percent(share)} of the scan's area."
    return (
        f"The evidence lies in about {_percent(share)} of the scan's area, marked in the heatmap."
    )


def _score(score: float) -> str:
    """Write a score in [0, 1], never rounding to 0 or 1 what is neither."""
    if score in (0, 1):
        return f"{score:.0f}"
    return f"{min(max(score, 0.001), 0.999):.3f}".rstrip("0")


def _percent(share: float) -> str:
    """Write a share of the scan's area in (0, 1] in whole per cent, at least 1."""
    return f"{max(1, round(share * 100))} %"
