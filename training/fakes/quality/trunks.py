"""A network that has seen photographs, for distances between heaps of images.

The weights are taken from ``$TORCH_HOME/hub/checkpoints`` and never downloaded: production has to
run, and to end in the same figures, on a machine without a network.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision import models

from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from training.fakes.device import best_device
from training.fakes.quality.distances import Features

WEIGHTS = "IMAGENET1K_V1"
BATCH = 16
ARCHITECTURES = {"inception_v3": ("fc", 299), "resnet50": ("fc", 224)}
"""In order of preference: the name of the classifier's layer, and the side of the input."""


class TrunkMissingError(Exception):
    """There are no weights to see images with."""

    def __init__(self, files: Sequence[str], folder: Path) -> None:
        super().__init__(f"neither {' nor '.join(files)} lies in {folder}")


@dataclass(frozen=True, slots=True)
class Trunk:
    """A network without its classifier.

    Attributes:
        name: What it is and where its weights come from, for the report.
        network: Maps images to features.
        side: Of its input, in pixels.
    """

    name: str
    network: nn.Module
    side: int

    @torch.no_grad()
    def features(self, greys: Sequence[NDArray[np.float32]]) -> Features:
        """Return the features of grey images in [0, 1], each ``[H, W]``."""
        device = next(self.network.parameters()).device
        mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        rows = []
        for start in range(0, len(greys), BATCH):
            images = torch.stack([self._input(grey) for grey in greys[start : start + BATCH]])
            rows.append(self.network(((images - mean) / std).to(device)).cpu())
        return torch.cat(rows).float().numpy()

    def _input(self, grey: NDArray[np.float32]) -> torch.Tensor:
        image = nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(grey))[None, None],
            size=(self.side, self.side),
            mode="bilinear",
            antialias=True,
        )
        return image[0].expand(3, -1, -1)


def load_trunk() -> Trunk:
    """Load the best trunk whose weights lie on this machine.

    Raises:
        TrunkMissingError: There are none.
    """
    files = _files()
    for architecture, (classifier, side) in ARCHITECTURES.items():
        file = files[architecture]
        if not file.is_file():
            continue
        network = models.get_model(architecture, weights=WEIGHTS)
        setattr(network, classifier, nn.Identity())
        name = f"{architecture} as built by torchvision, weights of {_origin(file)}"
        return Trunk(name, network.eval().to(best_device()), side)
    folder = next(iter(files.values())).parent
    raise TrunkMissingError([file.name for file in files.values()], folder)


def trunk_is_here() -> bool:
    """Return whether there are weights to see images with."""
    return any(file.is_file() for file in _files().values())


def _files() -> dict[str, Path]:
    """Return where the weights of each architecture have to lie."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = {name: models.get_model_weights(name)[WEIGHTS].url for name in ARCHITECTURES}
    return {name: folder / Path(url).name for name, url in urls.items()}


def _origin(file: Path) -> str:
    """Return where a file of weights comes from; a note beside it tells of other sources."""
    note = file.with_name(f"{file.name}.source.json")
    if not note.is_file():
        return f"torchvision ({WEIGHTS})"
    source = json.loads(note.read_bytes())
    return str(source.get("package", "another package"))
