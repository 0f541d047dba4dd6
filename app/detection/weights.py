"""Published checkpoints: finding, checking and loading them.

A checkpoint is ``weights/<modality>/<name>.safetensors`` with its card ``<name>.json`` beside it.
``weights/active.toml`` names the one that serves each modality. Nothing is unpickled, and a file
that does not fit its card is refused, so a verdict from random or foreign weights cannot happen.
"""

import re
import tomllib
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors.torch
import torch

from app.detection.architectures import Detector, build
from app.detection.card import Card, read_card
from app.detection.gate_card import GATE_NAME, GateCard
from app.detection.preprocessing import PREPROCESSING_VERSION
from app.detection.spec import modalities
from app.errors import VeriscanError, WeightsDamagedError, WeightsMissingError

ACTIVE_FILE = "active.toml"
CHECKPOINT_SUFFIX = ".safetensors"
CARD_SUFFIX = ".json"
AnyCard = TypeVar("AnyCard", Card, GateCard)
CHECKPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDetector:
    """A network that is ready to judge, with its card.

    Attributes:
        network: In evaluation mode, float32, on the CPU.
        card: Of its weights.
    """

    network: Detector
    card: Card


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedWeights(Generic[AnyCard]):
    """A file that is the one its card describes, of which a network can be built.

    Attributes:
        name: Of the file, without its ending.
        card: Of the weights.
        data: The file, in the format of safetensors.
    """

    name: str
    card: AnyCard
    data: bytes = field(repr=False)

    def build_network(self) -> Detector:
        """Build the network that the card describes, with these weights.

        Returns:
            The network in evaluation mode, float32, on the CPU.

        Raises:
            WeightsDamagedError: The card describes another network.
        """
        try:
            network = build(self.card.architecture)
        except VeriscanError as error:
            raise WeightsDamagedError(self.name, str(error)) from error
        try:
            tensors = safetensors.torch.load(self.data)
            network.load_state_dict({k: _as_float32(t) for k, t in tensors.items()}, strict=True)
        except Exception as error:  # safetensors and torch raise many kinds for a foreign file
            raise WeightsDamagedError(self.name, "its tensors are not the network's") from error
        return network.eval()


def active_checkpoint(weights_dir: Path, modality: str) -> Path:
    """Return the card of the checkpoint that serves a modality.

    Raises:
        WeightsMissingError: None is named.
        WeightsDamagedError: ``active.toml`` cannot be read or names no plain file name.
    """
    name = _active(weights_dir).get(modality)
    if name is None:
        raise WeightsMissingError(_title(modality))
    if not isinstance(name, str) or not CHECKPOINT_NAME.fullmatch(name):
        raise WeightsDamagedError(ACTIVE_FILE, f"{modality} names no checkpoint")
    return weights_dir / modality / f"{name}{CARD_SUFFIX}"


def checkpoints(weights_dir: Path, modality: str) -> list[str]:
    """Return the names of a modality's published checkpoints, in alphabetical order."""
    names = {path.stem for path in (weights_dir / modality).glob(f"*{CARD_SUFFIX}")}
    return sorted(name for name in names - {GATE_NAME} if CHECKPOINT_NAME.fullmatch(name))


def checkpoint(weights_dir: Path, modality: str, name: str) -> Path:
    """Return the card of a published checkpoint; a name is never taken for a path.

    Raises:
        WeightsMissingError: There is none of this name.
    """
    if name not in checkpoints(weights_dir, modality):
        raise WeightsMissingError(repr(name))
    return weights_dir / modality / f"{name}{CARD_SUFFIX}"


def with_active(weights_dir: Path, modality: str, name: str) -> bytes:
    """Return what ``active.toml`` is to hold for a checkpoint to serve a modality.

    Raises:
        WeightsDamagedError: The file that is there cannot be read.
    """
    active = _active(weights_dir) | {modality: name}
    lines = ["# The checkpoint that serves each modality."]
    lines += [f'{key} = "{value}"' for key, value in sorted(active.items())]
    return ("\n".join(lines) + "\n").encode()


def check_detector(card_path: Path) -> CheckedWeights[Card]:
    """Read a checkpoint and check it against its card, but for the tensors in it.

    Raises:
        WeightsMissingError: Card or checkpoint is not there.
        CardInvalidError: The card cannot be used.
        WeightsDamagedError: The checkpoint is not the one that the card describes.
    """
    card = read_card(card_path)
    if card.preprocessing.version != PREPROCESSING_VERSION:
        raise WeightsDamagedError(
            card.name,
            f"they want preprocessing version {card.preprocessing.version}, "
            f"this is version {PREPROCESSING_VERSION}",
        )
    return check_weights(card_path, card)


def load_detector(card_path: Path) -> LoadedDetector:
    """Load a checkpoint, checking it against its card.

    Raises:
        WeightsMissingError: Card or checkpoint is not there.
        CardInvalidError: The card cannot be used.
        WeightsDamagedError: The checkpoint is not the one that the card describes.
    """
    checked = check_detector(card_path)
    return LoadedDetector(network=checked.build_network(), card=checked.card)


def check_weights(card_path: Path, card: AnyCard) -> CheckedWeights[AnyCard]:
    """Read the file beside a card and check that it is the one that the card describes.

    Raises:
        WeightsMissingError: The file is not there.
        WeightsDamagedError: It is another one.
    """
    name = card_path.stem
    try:
        data = card_path.with_suffix(CHECKPOINT_SUFFIX).read_bytes()
    except FileNotFoundError:
        raise WeightsMissingError(name) from None
    except OSError as error:
        raise WeightsDamagedError(name, "the file cannot be read") from error
    if sha256(data).hexdigest() != card.sha256:
        raise WeightsDamagedError(name, "the file's SHA-256 is not the card's")
    return CheckedWeights(name=name, card=card, data=data)


def _active(weights_dir: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((weights_dir / ACTIVE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsDamagedError(ACTIVE_FILE, "it is not readable TOML") from error


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _title(modality: str) -> str:
    spec = modalities().get(modality)
    return spec.title if spec else modality
