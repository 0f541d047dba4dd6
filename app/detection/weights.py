"""Published checkpoints: finding, checking and loading them.

A checkpoint is ``weights/<modality>/<name>.safetensors`` with its card ``<name>.json`` beside it.
``weights/active.toml`` names the one that serves each modality. Nothing is unpickled, and a file
that does not fit its card is refused, so a verdict from random or foreign weights cannot happen.
"""

import re
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

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


def load_detector(card_path: Path) -> LoadedDetector:
    """Load a checkpoint, checking it against its card.

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
    return LoadedDetector(network=load_network(card_path, card), card=card)


def load_network(card_path: Path, card: Card | GateCard) -> Detector:
    """Build the network that a card describes, with the weights in the file beside the card.

    Returns:
        The network in evaluation mode, float32, on the CPU.

    Raises:
        WeightsMissingError: The file is not there.
        WeightsDamagedError: It is not the one that the card describes.
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
    try:
        tensors = safetensors.torch.load(data)
        network = build(card.architecture)
        network.load_state_dict({k: _as_float32(t) for k, t in tensors.items()}, strict=True)
    except VeriscanError as error:
        raise WeightsDamagedError(name, str(error)) from error
    except Exception as error:  # safetensors and torch raise many kinds for a foreign file
        raise WeightsDamagedError(name, "its tensors are not the network's") from error
    return network.eval()


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
