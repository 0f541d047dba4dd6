"""Where a network takes authentic tissue for forged, so that it sees more of that."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from app.detection.architectures import Detector
from app.detection.card import PreprocessingSpec
from app.detection.preprocessing import normalise
from training.data.dataset import ScanPool, Spot
from training.runs import write_whole

HARD_FILE = "hard_negatives.json"
SPOTS_PER_SCAN = 3
KEPT = 0.5
"""Share of the spots that is kept: those with most evidence."""
APART_PIXELS = 64


def hard_spots(
    network: Detector, pool: ScanPool, preprocessing: PreprocessingSpec, folder: Path
) -> list[Spot]:
    """Find the places in authentic scans with most evidence of forgery.

    Args:
        network: Gives the evidence; its mode is left as it was.
        pool: Its authentic scans are looked at.
        preprocessing: Of the network's input.
        folder: Where the places are kept, so that a run that is stopped resumes with the same.
    """
    path = folder / HARD_FILE
    if not path.exists():
        training, mirrored = network.training, network.mirrored
        network.eval()
        network.mirrored = False  # crops are looked at once, too
        found = sorted(_peaks(network, pool, preprocessing), key=lambda f: f[0], reverse=True)
        network.train(training)
        network.mirrored = mirrored
        spots = [spot for _, spot in found[: max(1, round(KEPT * len(found)))]]
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(spots).encode())
    return [Spot(*spot) for spot in json.loads(path.read_text(encoding="utf-8"))]


def _peaks(
    network: Detector, pool: ScanPool, preprocessing: PreprocessingSpec
) -> Iterator[tuple[float, Spot]]:
    device = next(network.parameters()).device
    for scan in tqdm(pool.real, desc="hard negatives", unit="scan"):
        square = torch.from_numpy(pool.square(scan.path))
        image = normalise(square, preprocessing)[None].to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            evidence = network(image).evidence[0].float().cpu().numpy()
        pixels = len(square) / evidence.shape[0]
        around = max(1, round(APART_PIXELS / pixels))
        peaks = np.argwhere(evidence == ndimage.maximum_filter(evidence, size=around))
        values = evidence[tuple(peaks.T)]
        for index in np.argsort(values)[::-1][:SPOTS_PER_SCAN]:
            row, column = ((peaks[index] + 0.5) * pixels).astype(int).tolist()
            yield float(values[index]), Spot(str(scan.path), row, column)
