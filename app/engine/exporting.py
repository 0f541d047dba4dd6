"""Exports the graphs of a modality in a process of its own.

To build a network and to export it takes much more memory than the graph that serves, and neither
PyTorch nor the compiler gives all of it back. A process that ends does.
"""

import json
import logging
import subprocess
import sys
from pathlib import Path

from app.detection.card import Card
from app.detection.gate import check_gate
from app.detection.gate_card import GateCard
from app.detection.weights import CheckedWeights, check_detector, checkpoint
from app.engine.backends import Machine, make_backend
from app.engine.protocol import CPU

ROOT = Path(__file__).parents[2]
LEAST_BYTES = 2 * 2**20
"""A smaller checkpoint is exported where it serves: it leaves little behind."""
MOST_S = 900.0

logger = logging.getLogger(__name__)


def export_apart(
    weights_dir: Path,
    weights: CheckedWeights[Card],
    gate: CheckedWeights[GateCard] | None,
    machine: Machine,
) -> None:
    """Have another process export what is missing of the graphs of a modality, if it is large.

    Where that fails, nothing is stored, and whoever loads the networks exports them himself.

    Args:
        weights_dir: The folder with the weights.
        weights: Of the detector.
        gate: Of its gate; None where there is none.
        machine: On what they are to run.
    """
    if machine.device != CPU or machine.graphs_dir is None:
        return
    folder = machine.graphs_dir
    if not _is_missing(weights, folder) and (gate is None or not _is_missing(gate, folder)):
        return
    modality = weights.card.modality
    order = [*map(str, (weights_dir.resolve(), modality, weights.name)), machine.threads]
    try:
        subprocess.run(  # noqa: S603 - our own module, and no word of a client's
            [
                *(sys.executable, "-m", "app.engine.exporting"),
                json.dumps([*order, str(folder.resolve())]),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=MOST_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("The graphs of %s are exported where they serve: %s", modality, error)


def main(order: str) -> None:
    """Export and store the graphs of a modality.

    Args:
        order: JSON: weights folder, modality, name of the checkpoint, threads, folder for graphs.
    """
    weights_dir, modality, name, threads, graphs_dir = json.loads(order)
    machine = Machine(device=CPU, threads=threads, graphs_dir=Path(graphs_dir))
    weights = check_detector(checkpoint(Path(weights_dir), modality, name))
    make_backend(weights.build_network, weights.card, machine)
    gate = check_gate(Path(weights_dir), modality)
    if gate is not None:
        make_backend(gate.build_network, gate.card, machine)


def _is_missing(weights: CheckedWeights[Card] | CheckedWeights[GateCard], folder: Path) -> bool:
    from app.engine.graphs import is_stored

    if len(weights.data) < LEAST_BYTES:
        return False
    try:
        return not is_stored(weights.card, folder)
    except (ImportError, RuntimeError):  # no OpenVINO, no export: told where the network serves
        return False


if __name__ == "__main__":
    main(sys.argv[1])
