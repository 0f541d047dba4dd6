"""Small arguments for every generator, and what its tests need to try it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.training.lab import SIDE, TINY_DCGAN, TINY_INPAINTING, make_lung, stored
from training.fakes.base import Fake, Generator, create

Arguments = Mapping[str, Any]

TINY_ARGUMENTS: Mapping[str, Arguments] = {
    "classical_edits": {"sites": "lung", "min_side": 12, "max_side": 16, "donors_per_scan": 1},
    "ctgan_imitation": {
        "spacings": [1.6, 2.0],
        "patches_per_scan": 4,
        "width": 4,
        "steps": 2,
        "snapshot_every": 2,
        "batch_size": 4,
    },
    "dcgan": TINY_DCGAN,
    "diffusion": {
        "output_side": SIDE,
        "side": 16,
        "width": 8,
        "multiples": [1, 2],
        "steps": 2,
        "batch_size": 4,
    },
    "diffusion_inpainting": {
        "sites": "lung",
        "edit_sides": [12, 16],
        "width": 8,
        "steps": 2,
        "batch_size": 4,
    },
    "diffusion_redraw": {
        "sides": [16, 24],
        "width": 8,
        "multiples": [1, 2],
        "steps": 2,
        "batch_size": 4,
    },
    "fastgan": {"output_side": SIDE, "side": 32, "width": 8, "steps": 2, "batch_size": 4},
    "inpainting_gan": TINY_INPAINTING,
    "reconstruction": {"width": 8, "steps": 2, "batch_size": 2, "crop_side": 32},
    "self_blending": {"sites": "lung", "min_side": 12, "max_side": 16},
    "super_resolution": {"networks": ["waifu2x_upconv", "real_esrgan_compact"]},
}
LONGER_ARGUMENTS: Mapping[str, Arguments] = {
    "classical_edits": {"donors_per_scan": 2},
    "ctgan_imitation": {"steps": 4},
    "dcgan": {"epochs": 3},
    "diffusion": {"steps": 4},
    "diffusion_inpainting": {"steps": 4},
    "diffusion_redraw": {"steps": 4},
    "fastgan": {"steps": 4},
    "inpainting_gan": {"steps": 5},
    "reconstruction": {"steps": 4},
}
"""What makes a training longer than a tiny one, which counts as the stopped one.

A generator that is not here learns nothing.
"""


def fitted(
    name: str, arguments: Arguments, scans: Sequence[Path], folder: Path, *, seed: int = 1
) -> Generator:
    """Fit a new generator; what PyTorch drew before must not matter."""
    torch.manual_seed(sum(folder.name.encode()))
    generator = create(name, arguments)
    generator.fit(scans, folder, seed=seed)
    return generator


def made(generator: Generator, *, seed: int = 5, scan: int = 0) -> Fake:
    """Make a fake, from a drawn lung if the generator edits."""
    original = stored(make_lung(scan)) if generator.edits_originals else None
    fake = generator.make(original, seed=seed)
    assert fake is not None
    return fake
