"""The gate in front of a detector: is this image the kind of scan that it is said to be?

A detector has learned from one kind of scan and says something of any image. The gate is a small
network on a thumbnail that tells that kind, authentic or fake, from everything else. It does not
depend on the detector, so either may be replaced without the other.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from app.detection.architectures import Detector
from app.detection.gate_card import GATE_NAME, GateCard, read_gate_card
from app.detection.verdict import GateFinding
from app.detection.weights import load_network
from app.errors import WeightsDamagedError, WeightsMissingError

GATE_PREPROCESSING_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedGate:
    """A gate that is ready to serve.

    Attributes:
        network: In evaluation mode, float32, on the CPU.
        card: Of its weights.
    """

    network: Detector
    card: GateCard


def thumbnail(grey: NDArray[np.float32], image_size: int) -> Tensor:
    """Squeeze an image into a small square; its aspect ratio is no sign of what it shows.

    Args:
        grey: Grey values, float32 in [0, 1], shape ``[H, W]``.
        image_size: Side of the square, in pixels.

    Returns:
        Grey values, float32 in [0, 1], shape ``[image_size, image_size]``.
    """
    image = torch.from_numpy(np.ascontiguousarray(grey))[None]
    small: Tensor = functional.resize(image, [image_size, image_size], antialias=True)[0]
    return small.clamp(0, 1)


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


def load_gate(weights_dir: Path, modality: str) -> LoadedGate | None:
    """Load the gate of a modality; None where none is published.

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
    return LoadedGate(network=load_network(card_path, card), card=card)
