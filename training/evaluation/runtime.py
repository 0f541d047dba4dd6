"""What runs a detector while it is measured: the network, or on a CPU the graph that serves."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.detection.preprocessing import preprocess, square_to_scan, to_square
from app.detection.weights import LoadedDetector
from app.engine.backends import Backend, Machine, make_backend

WORTH_AN_EXPORT = 1_000_000_000
"""Scans times parameters from which on the seconds of an export are made up for: 57 scans of B4."""


class Runtime:
    """Runs a detector on scans, one at a time; may be called from several threads.

    On a CPU many scans are judged by the graph that serves (see ``app.engine.graphs``), which takes
    little more than half of PyTorch's time. Logit and evidence agree to two thousandths. It is
    exported anew each time, so it is always the graph of these very weights.

    Args:
        detector: The network and its card.
        scans: How many it is to judge.
    """

    def __init__(self, detector: LoadedDetector, *, scans: int) -> None:
        self._detector = detector
        parameters = list(detector.network.parameters())
        self._device = parameters[0].device if parameters else torch.device("cpu")
        work = scans * sum(parameter.numel() for parameter in parameters)
        worth_it = self._device.type == "cpu" and work >= WORTH_AN_EXPORT
        self._graph: Backend | None = _graph_of(detector) if worth_it else None
        self.name = self._device.type if self._graph is None else "graph"

    def look(self, grey: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        """Return the logit of a scan, and the evidence of the cells over it, shape ``[h, w]``.

        Args:
            grey: float32 in [0, 1], shape ``[H, W]``.
        """
        spec = self._detector.card.preprocessing
        if self._graph is not None:
            said = self._graph.run(to_square(grey, spec.image_size)[None])
            return float(said.logits[0]), square_to_scan(said.evidence[0], *grey.shape)
        image = preprocess(grey, spec)
        with torch.inference_mode():
            output = self._detector.network(image[None].to(self._device))
        evidence = output.evidence[0].float().cpu().numpy()
        return float(output.logits[0]), square_to_scan(evidence, *grey.shape)


def look(detector: LoadedDetector, grey: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """Return what a detector says of a single scan; see ``Runtime.look``."""
    return Runtime(detector, scans=1).look(grey)


def _graph_of(detector: LoadedDetector) -> Backend:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(
            device="cpu", threads=torch.get_num_threads(), graphs_dir=Path(folder) / "graphs"
        )
        return make_backend(lambda: detector.network, detector.card, machine)
