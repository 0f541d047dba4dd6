"""A network that serves a modality: loaded, tried once, and able to judge prepared scans."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.detection.card import Card
from app.detection.explain import heatmap
from app.detection.preprocessing import preprocess, square_to_scan
from app.detection.reasons import reasons_for
from app.detection.verdict import Finding
from app.detection.weights import active_checkpoint, load_detector
from app.engine.backends import Backend, make_backend
from app.engine.batching import WaitingScan
from app.engine.protocol import Judgement
from app.errors import WeightsDamagedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The published network of a modality, on its device.

    Attributes:
        modality: Key of the modality.
        card: Of the weights.
        backend: Runs the network.
    """

    modality: str
    card: Card
    backend: Backend

    def prepare(self, scan: NDArray[np.float32]) -> WaitingScan:
        """Turn grey values, float32 in [0, 1], shape ``[H, W]``, into what waits for the network.

        What waits is small and of one size, however large the scan.
        """
        image = preprocess(scan, self.card.preprocessing)
        height, width = scan.shape
        return WaitingScan(modality=self.modality, image=image, height=height, width=width)

    def judge(self, scans: Sequence[WaitingScan]) -> list[Judgement | None]:
        """Judge scans together; None for a scan whose result is not a number."""
        started_s = time.perf_counter()
        output = self.backend.run(torch.stack([scan.image for scan in scans]))
        inference_ms = (time.perf_counter() - started_s) * 1000
        return [
            self._judgement(scan, float(logit), evidence, output.device, inference_ms)
            if np.isfinite(logit) and np.isfinite(evidence).all()
            else None
            for scan, logit, evidence in zip(scans, output.logits, output.evidence, strict=True)
        ]

    def _judgement(
        self,
        scan: WaitingScan,
        logit: float,
        evidence: NDArray[np.float32],
        device: str,
        inference_ms: float,
    ) -> Judgement:
        point = self.card.operating_point
        probability = point.probability(logit)
        verdict = point.verdict(probability)
        evidence_map = heatmap(square_to_scan(evidence, scan.height, scan.width), point)
        finding = Finding(
            verdict=verdict,
            probability_fake=probability,
            threshold=point.threshold,
            inconclusive_band=point.inconclusive_band,
            reasons=reasons_for(verdict, point, evidence_map),
            weights_name=self.card.name,
            weights_sha256=self.card.sha256,
            device=device,
            inference_ms=inference_ms,
        )
        return Judgement(finding=finding, heatmap=evidence_map)


def load_serving(weights_dir: Path, modality: str, device: str, max_batch: int) -> Serving:
    """Load the active checkpoint of a modality and let it judge a blank scan.

    That first scan makes the libraries ready, and it shows that the weights compute at all.

    Args:
        weights_dir: The folder with ``active.toml``.
        modality: Key of the modality.
        device: ``cpu`` or ``cuda``.
        max_batch: How many scans a GPU judges at once.

    Raises:
        WeightsError: Nothing is published, or what is cannot be used.
    """
    detector = load_detector(active_checkpoint(weights_dir, modality))
    card = detector.card
    if card.modality != modality:
        raise WeightsDamagedError(card.name, f"they are for the modality {card.modality!r}")
    backend = make_backend(detector.network, device, max_batch)
    serving = Serving(modality=modality, card=card, backend=backend)
    blank = np.zeros((card.preprocessing.image_size,) * 2, dtype=np.float32)
    if serving.judge([serving.prepare(blank)]) == [None]:
        raise WeightsDamagedError(card.name, "they give no number for a blank scan")
    return serving
