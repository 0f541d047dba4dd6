"""How a network's weights begin: at random, or from what a trunk knows of photographs."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from efficientnet_pytorch import EfficientNet
from torchvision import models

from app.detection.architectures import Detector
from app.detection.architectures.trunks import TorchvisionTrunk
from training.errors import TrainingError

B4_FILE = "efficientnet-b4-6ed6700e.pth"
TORCHVISION_WEIGHTS = "IMAGENET1K_V1"
FROM_SCRATCH = "from scratch"


class InitialisationError(TrainingError):
    """The weights to begin with cannot be had."""


class WeightsOutOfReachError(InitialisationError):
    """The published weights are neither on this machine nor to be downloaded.

    Attributes:
        file: Name of the file that holds them.
    """

    def __init__(self, network: str, file: str) -> None:
        super().__init__(
            f"The ImageNet weights of {network} could not be downloaded. Put {file} into "
            '$TORCH_HOME/hub/checkpoints, or set initialisation = "random" in the config.'
        )
        self.file = file


def initialise(network: Detector, kind: str) -> str:
    """Initialise a network in place.

    Args:
        network: With fresh random weights.
        kind: ``random`` leaves it so; ``imagenet`` loads the published weights of its trunk from
            the model hub, or the file of that name that lies in the hub's folder already;
            ``imagenet_or_random`` does so where they can be had, and else leaves it; then the
            words begin with "from scratch", and a trunk that was to be frozen learns.

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
    match getattr(network, "trunk", None):
        case EfficientNet():
            return _efficientnet_b4(network)
        case TorchvisionTrunk() as trunk:
            return _torchvision(trunk)
    raise InitialisationError('initialisation = "imagenet": this network has no published trunk.')


def _imagenet_or_random(network: Detector) -> str:
    try:
        return _imagenet(network)
    except WeightsOutOfReachError as error:
        logging.getLogger(__name__).warning("%s Training from scratch.", error)
        return f"{FROM_SCRATCH} ({error.file} could not be had)"


def _efficientnet_b4(network: Detector) -> str:
    try:
        source = EfficientNet.from_pretrained("efficientnet-b4")
    except OSError as error:
        raise WeightsOutOfReachError("EfficientNet-B4", B4_FILE) from error
    tensors = source.state_dict().items()
    trunk = {f"trunk.{k}": v for k, v in tensors if not k.startswith("_fc")}
    network.load_state_dict(network.state_dict() | network.grown_from(trunk))
    return _described(B4_FILE, otherwise="ImageNet (efficientnet-pytorch)")


def _torchvision(trunk: TorchvisionTrunk) -> str:
    weights = models.get_model_weights(trunk.model_name)[TORCHVISION_WEIGHTS]
    file = weights.url.rpartition("/")[2]
    try:
        source = models.get_model(trunk.model_name, weights=weights, progress=False)
    except OSError as error:
        raise WeightsOutOfReachError(trunk.model_name, file) from error
    tensors = source.state_dict()
    trunk.load_state_dict({key: tensors[key] for key in trunk.state_dict()})
    return _described(file, otherwise=f"{TORCHVISION_WEIGHTS} (torchvision)")


def _described(file: str, *, otherwise: str) -> str:
    """Say what the file was if somebody put another one there, with a note beside it."""
    note_path = Path(torch.hub.get_dir(), "checkpoints", f"{file}.source.json")
    if not note_path.exists():
        return otherwise
    note = json.loads(note_path.read_text(encoding="utf-8"))
    if "package" in note:
        return f"not torchvision's own file: {note['package']}"
    return f"{note['what']} ({note['source']})"


INITIALISERS: dict[str, Callable[[Detector], str]] = {
    "random": _random,
    "imagenet": _imagenet,
    "imagenet_or_random": _imagenet_or_random,
}
