"""The sentences that explain a verdict to a clinician. All of the engine's wording is here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.detection.labels import Verdict
from app.detection.stability import turns
from app.detection.verdict import Finding, StabilityFinding

SPREAD_SHARE = 0.5
"""From this share of marked cells on, the evidence is said to be spread over the scan."""
WHOLE_SHARE = 0.98
"""From this share on, it is said to be spread over all of it."""
BACK_TO_THE_ORIGINAL = (
    "Go back to the scanner's original, and do not take this result for either answer."
)
VARIANTS_IN_WORDS = {
    "re_encoded": "saved as JPEG once more",
    "rescaled": "made a tenth smaller and as large again",
    "shifted": "moved by a few pixels",
    "mirrored": "mirrored",
}
"""What was done to the variants of a scan, by their names in ``app.detection.stability``."""


def reasons_for(
    finding: Finding, heatmap: NDArray[np.float32] | None, noun: str
) -> tuple[str, ...]:
    """Say why a scan got its verdict.

    Args:
        finding: What was found in it, as yet without reasons.
        heatmap: Evidence for FAKE, float32 in [0, 1], shape ``[h, w]``; None where it was not
            judged.
        noun: What such a scan is called in a sentence, such as ``lung CT slice``.

    Returns:
        Two or more sentences.
    """
    if heatmap is None:
        return (
            f"This does not look like a {noun}.",
            "The detector knows nothing else and would give any image a verdict, so it was not "
            "asked.",
        )
    reasons = _reasons_of_verdict(finding, heatmap)
    if finding.gate is not None and not finding.gate.looks_right:
        return (
            f"This does not look like a {noun}. It was judged because its sender asked for that; "
            "the verdict means little if it is something else.",
            *reasons,
        )
    return reasons


def _reasons_of_verdict(finding: Finding, heatmap: NDArray[np.float32]) -> tuple[str, ...]:
    low, high = (_score(limit) for limit in finding.inconclusive_band)
    if finding.verdict is Verdict.FAKE:
        return (
            f"The score lies above {high}, the limit over which this detector calls a scan fake.",
            _where(heatmap),
        )
    if finding.verdict is Verdict.REAL:
        first = (
            f"The score lies below {low}, the limit under which this detector calls a scan real."
        )
        return (first, "No part of the scan speaks for a fake strongly enough to be marked.")
    if finding.stability is not None and not finding.stability.is_stable:
        return (_what_shook(finding, finding.stability), BACK_TO_THE_ORIGINAL)
    return (
        f"The score lies between {low} and {high}, where this detector errs too often to give a "
        "verdict.",
        BACK_TO_THE_ORIGINAL,
    )


@dataclass(frozen=True, slots=True)
class TriedVariant:
    """A variant of a scan and what it got.

    Attributes:
        done: What was done to the scan, such as ``mirrored``.
        probability: Calibrated probability of FAKE, in [0, 1].
        is_turned: Whether it got the other answer than the scan itself.
    """

    done: str
    probability: float
    is_turned: bool


def tried_variants(finding: Finding, stability: StabilityFinding) -> list[TriedVariant]:
    """Return the variants that were tried of a scan, in words."""
    score = finding.probability_fake or 0.0
    return [
        TriedVariant(
            VARIANTS_IN_WORDS.get(name, name.replace("_", " ")),
            probability,
            turns(score, probability, finding.threshold),
        )
        for name, probability in stability.probabilities.items()
    ]


def _what_shook(finding: Finding, stability: StabilityFinding) -> str:
    """Name the variants that got another answer than the scan."""
    probability = finding.probability_fake or 0.0
    done = [tried.done for tried in tried_variants(finding, stability) if tried.is_turned]
    called = "fake" if probability >= finding.threshold else "real"
    return (
        f"The score alone would call this scan {called}, but the detector changes its mind when "
        f"the scan is {_listed(done or ['changed harmlessly'])}. An answer that hangs on that is "
        "no verdict."
    )


def _listed(items: list[str]) -> str:
    return " or ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


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
