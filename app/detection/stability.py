"""The stability check: does a verdict hold for harmless variants of the same scan?

A verdict that changes when the scan is saved once more or moved by a few pixels rests on chance,
so it is withdrawn. Which variants are tried, and what counts as a change, was chosen by measurement
(see ``python -m training stability``).
"""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.detection.card import ArchitectureSpec
from app.detection.labels import Verdict
from app.detection.verdict import StabilityFinding

JPEG_QUALITY = 90
SCALE = 0.9
SHIFT_PIXELS = 3

Square = NDArray[np.float32]


def re_encoded(square: Square) -> Square:
    """Save a scan, float32 in [0, 1], shape ``[S, S]``, as a JPEG of good quality and read it."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(square * 255).astype(np.uint8)).save(
        buffer, format="JPEG", quality=JPEG_QUALITY
    )
    with Image.open(buffer) as image:
        return np.asarray(image, dtype=np.float32) / np.float32(255)


def rescaled(square: Square) -> Square:
    """Make a scan, float32 in [0, 1], shape ``[S, S]``, a tenth smaller and as large again."""
    side = square.shape[0]
    smaller = Image.fromarray(square).resize((round(side * SCALE),) * 2, Image.Resampling.BICUBIC)
    again = smaller.resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(again, dtype=np.float32), 0, 1)


def shifted(square: Square) -> Square:
    """Move a scan, shape ``[S, S]``, right and down by 3 pixels, repeating the edge."""
    padded = np.pad(square, ((SHIFT_PIXELS, 0), (SHIFT_PIXELS, 0)), mode="edge")
    return np.ascontiguousarray(padded[: square.shape[0], : square.shape[1]])


def mirrored(square: Square) -> Square:
    """Swap left and right of a scan, shape ``[S, S]``."""
    return np.ascontiguousarray(square[:, ::-1])


VARIANTS: Mapping[str, Callable[[Square], Square]] = MappingProxyType(
    {
        "re_encoded": re_encoded,
        "rescaled": rescaled,
        "shifted": shifted,
        "mirrored": mirrored,
    }
)
"""What is tried, by name."""


def variants_for(architecture: ArchitectureSpec) -> Mapping[str, Callable[[Square], Square]]:
    """Return what is tried with a network: no mirror image where it looks at that anyway."""
    sees_mirrored = architecture.arguments.get("mirrored", False)
    return {n: vary for n, vary in VARIANTS.items() if not (sees_mirrored and vary is mirrored)}


def turns(probability: float, variant: float, threshold: float) -> bool:
    """Return whether a variant of a scan gets the other answer than the scan itself.

    Args:
        probability: Calibrated probability of FAKE of the scan, in [0, 1].
        variant: The same of the variant.
        threshold: The probability from which on a scan is taken for fake, in [0, 1].
    """
    return (probability >= threshold) != (variant >= threshold)


def assess(probability: float, variants: Mapping[str, float], threshold: float) -> StabilityFinding:
    """Say whether a verdict holds for the variants of a scan, none of which may turn it.

    Args:
        probability: Calibrated probability of FAKE of the scan itself, in [0, 1].
        variants: The same of its variants, by name.
        threshold: The probability from which on a scan is taken for fake, in [0, 1].
    """
    return StabilityFinding(
        probabilities=dict(variants),
        is_stable=not any(turns(probability, variant, threshold) for variant in variants.values()),
    )


def settled(verdict: Verdict, stability: StabilityFinding | None) -> Verdict:
    """Return the verdict, or inconclusive where it was tried and does not hold."""
    if stability is None or stability.is_stable:
        return verdict
    return Verdict.INCONCLUSIVE
