"""The gate in front of a detector: is this image the kind of scan that it is said to be?

A detector has learned from one kind of scan and says something of any image. The gate is a small
network on a thumbnail that tells that kind, authentic or fake, from everything else. It does not
depend on the detector, so either may be replaced without the other.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.detection.gate_card import GATE_NAME, GateCard, read_gate_card
from app.detection.preprocessing import resize
from app.detection.verdict import GateFinding
from app.detection.weights import CheckedWeights, check_weights
from app.errors import WeightsDamagedError, WeightsMissingError

GATE_PREPROCESSING_VERSION = 1


def thumbnail(grey: NDArray[np.float32], image_size: int) -> Tensor:
    """Squeeze an image into a small square; its aspect ratio is no sign of what it shows.

    Args:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``.
        image_size: Side of the square, in pixels.

    Returns:
        Grey values, float32 in [0, 1], shape ``[image_size, image_size]``.
    """
    return resize(torch.from_numpy(np.ascontiguousarray(grey)), image_size, image_size)


def gate_finding(logit: float, card: GateCard, *, is_overridden: bool) -> GateFinding:
    """Turn the logit of a gate's network into what it says of the image."""
    # Its logit is positive towards other kinds of image, likeness towards the right one.
    likeness = float(1 / (1 + np.exp(np.clip(logit, -60, 60))))
    return GateFinding(
        likeness=likeness,
        threshold=card.threshold,
        is_overridden=is_overridden,
        sha256=card.sha256,
    )


def check_gate(weights_dir: Path, modality: str) -> CheckedWeights[GateCard] | None:
    """Read the gate of a modality and check it against its card, but for the tensors in it.

    Returns:
        The weights; None where no gate is published.

    Raises:
        CardInvalidError: Its card cannot be used.
        WeightsMissingError: The card is there, the weights are not.
        WeightsDamagedError: The weights are not those that the card describes, or for another
            modality, or want another preprocessing.
    """
    card_path = weights_dir / modality / f"{GATE_NAME}.json"
    try:
        card = read_gate_card(card_path)
    except WeightsMissingError:
        return None
    if card.modality != modality:
        raise WeightsDamagedError(GATE_NAME, f"they are for the modality {card.modality!r}")
    if card.preprocessing.version != GATE_PREPROCESSING_VERSION:
        raise WeightsDamagedError(
            GATE_NAME,
            f"they want preprocessing version {card.preprocessing.version}, "
            f"this is version {GATE_PREPROCESSING_VERSION}",
        )
    return check_weights(card_path, card)
