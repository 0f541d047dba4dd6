"""How a network's weights begin: at random, or from what a trunk knows of photographs."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from efficientnet_pytorch import EfficientNet

from app.detection.architectures import Detector
from training.errors import TrainingError

B4_FILE = "efficientnet-b4-6ed6700e.pth"


class InitialisationError(TrainingError):
    """The weights to begin with cannot be had."""


def initialise(network: Detector, kind: str) -> str:
    """Initialise a network in place.

    Args:
        network: With fresh random weights.
        kind: ``random`` leaves it so; ``imagenet`` loads EfficientNet-B4's published weights from
            the model hub, or the file of that name that lies in the hub's folder already.

    Returns:
        Where the weights come from, in words for the card.

    Raises:
        InitialisationError: The kind is unknown, does not suit the network, or its weights are
            neither on this machine nor to be downloaded.
    """
    if kind not in INITIALISERS:
        raise InitialisationError(
            f"There is no initialisation {kind!r}. Known: {', '.join(INITIALISERS)}."
        )
    return INITIALISERS[kind](network)


def _random(_network: Detector) -> str:
    return "random"


def _imagenet(network: Detector) -> str:
    trunk = getattr(network, "trunk", None)
    if not isinstance(trunk, EfficientNet):
        raise InitialisationError('initialisation = "imagenet" is for EfficientNet-B4 only.')
    try:
        source = EfficientNet.from_pretrained("efficientnet-b4")
    except OSError as error:
        raise InitialisationError(
            "EfficientNet-B4's ImageNet weights could not be downloaded. Put "
            f"{B4_FILE} into $TORCH_HOME/hub/checkpoints, or set initialisation = "
            '"random" in the config.'
        ) from error
    tensors = {k: v for k, v in source.state_dict().items() if not k.startswith("_fc")}
    trunk.load_state_dict(tensors)
    return _described(Path(torch.hub.get_dir(), "checkpoints", f"{B4_FILE}.source.json"))


def _described(source_note: Path) -> str:
    """Say what the file was if somebody put another one there, with a note beside it."""
    if not source_note.exists():
        return "ImageNet (efficientnet-pytorch)"
    note = json.loads(source_note.read_text(encoding="utf-8"))
    return f"{note['what']} ({note['source']})"


INITIALISERS: dict[str, Callable[[Detector], str]] = {
    "random": _random,
    "imagenet": _imagenet,
}
