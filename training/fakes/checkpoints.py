"""Checkpoints of generators: written whole or not at all, read without unpickling code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

CHECKPOINT_NAME = "generator.pt"


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that has been learned."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take over what had been learned."""


def save_checkpoint(folder: Path, parts: Mapping[str, Stateful], done: int) -> None:
    """Save the parts and how many epochs or steps are done."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{CHECKPOINT_NAME}.partial"
    torch.save({"done": done} | {k: part.state_dict() for k, part in parts.items()}, partial)
    partial.replace(folder / CHECKPOINT_NAME)


def load_checkpoint(folder: Path, parts: Mapping[str, Stateful]) -> int:
    """Load the parts if they were saved; return how many epochs or steps had been done."""
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return 0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["done"])
