"""What serves a modality: its gate and its network, loaded, tried once, ready to judge scans."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.detection.card import Card
from app.detection.explain import heatmap
from app.detection.gate import check_gate, gate_finding, thumbnail
from app.detection.gate_card import GateCard
from app.detection.labels import Verdict
from app.detection.preprocessing import square_to_scan, to_square
from app.detection.reasons import reasons_for
from app.detection.spec import modality as spec_of
from app.detection.stability import assess, settled, variants_for
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.detection.weights import (
    CheckedWeights,
    active_checkpoint,
    check_detector,
    checkpoint,
)
from app.engine.backends import Backend, Machine, make_backend
from app.engine.batching import WaitingScan
from app.engine.exporting import export_apart
from app.engine.protocol import CPU, Judgement
from app.errors import WeightsDamagedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingGate:
    """The published gate of a modality.

    Attributes:
        card: Of its weights.
        backend: Runs its network.
    """

    card: GateCard
    backend: Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the network said of one scan.

    Attributes:
        probability: Calibrated probability of FAKE, in [0, 1].
        verdict: What follows from that alone.
        evidence: The logit of each cell, float32, shape ``[h, w]``.
        device: Where the network ran.
    """

    probability: float
    verdict: Verdict
    evidence: NDArray[np.float32]
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The published network of a modality, on its device, and the gate before it.

    Attributes:
        modality: Key of the modality.
        card: Of the weights.
        backend: Runs the network.
        gate: None where none is published: then any image is judged.
    """

    modality: str
    card: Card
    backend: Backend
    gate: ServingGate | None = None

    def prepare(self, scan: NDArray[np.float32], *, override_gate: bool = False) -> WaitingScan:
        """Turn grey values, float32 in [0, 1], shape ``[H, W]``, into what waits for the networks.

        What waits is small and of one size, however large the scan.
        """
        height, width = scan.shape
        return WaitingScan(
            serving=self,
            square=to_square(scan, self.card.preprocessing.image_size),
            height=height,
            width=width,
            thumbnail=(
                thumbnail(scan, self.gate.card.preprocessing.image_size) if self.gate else None
            ),
            override_gate=override_gate,
        )

    def judge(self, scans: Sequence[WaitingScan]) -> list[Judgement | None]:
        """Judge scans together; None for a scan whose result is not a number.

        First the gate sees all of them, then the network those that pass, then the network sees
        variants of those that have a verdict, and each gets the time that all of them took.
        """
        started_s = time.perf_counter()
        gates = self.ask_gate(scans)
        passing = [i for i, gate in enumerate(gates) if gate is None or not gate.stops]
        readings = dict(zip(passing, self._read(scans[i].square for i in passing), strict=True))
        stabilities = {
            i: self.try_variants(scans[i].square, reading)
            for i, reading in readings.items()
            if reading is not None and reading.verdict is not Verdict.INCONCLUSIVE
        }
        inference_ms = (time.perf_counter() - started_s) * 1000
        return [
            self._judgement(scan, gates[i], readings.get(i), stabilities.get(i), inference_ms)
            for i, scan in enumerate(scans)
        ]

    def ask_gate(self, scans: Sequence[WaitingScan]) -> list[GateFinding | None]:
        """Return what the gate says of each scan; None where there is no gate."""
        if self.gate is None:
            return [None] * len(scans)
        card = self.gate.card
        thumbnails = [scan.thumbnail for scan in scans if scan.thumbnail is not None]
        logits = self.gate.backend.run(torch.stack(thumbnails)).logits
        return [
            gate_finding(float(logit), card, is_overridden=scan.override_gate)
            for scan, logit in zip(scans, logits, strict=True)
        ]

    def try_variants(self, square: Tensor, reading: Reading) -> StabilityFinding:
        """Let the network read harmless variants of a scan that has a verdict.

        Args:
            square: The scan, grey values, float32 in [0, 1], shape ``[S, S]``.
            reading: What the network said of it.
        """
        grey = square.numpy()
        variants = variants_for(self.card.architecture)
        read = self._read(torch.from_numpy(vary(grey)) for vary in variants.values())
        probabilities = {
            name: variant.probability
            for name, variant in zip(variants, read, strict=True)
            if variant is not None
        }
        found = assess(reading.probability, probabilities, self.card.operating_point.threshold)
        # A variant without a number confirms nothing.
        return found if len(probabilities) == len(variants) else replace(found, is_stable=False)

    def _read(self, squares: Iterable[Tensor]) -> list[Reading | None]:
        """Let the network read scans ``[S, S]``; None for one whose result is not a number."""
        images = list(squares)
        limit = self.backend.batch_limit
        batches = [images[start : start + limit] for start in range(0, len(images), limit)]
        return [
            self._reading(float(logit), evidence, output.device)
            for output in (self.backend.run(torch.stack(batch)) for batch in batches)
            for logit, evidence in zip(output.logits, output.evidence, strict=True)
        ]

    def _reading(self, logit: float, evidence: NDArray[np.float32], device: str) -> Reading | None:
        if not (math.isfinite(logit) and np.isfinite(evidence).all()):
            return None
        point = self.card.operating_point
        probability = point.probability(logit)
        return Reading(
            probability=probability,
            verdict=point.verdict(probability),
            evidence=evidence,
            device=device,
        )

    def _judgement(
        self,
        scan: WaitingScan,
        gate: GateFinding | None,
        reading: Reading | None,
        stability: StabilityFinding | None,
        inference_ms: float,
    ) -> Judgement | None:
        """Put together what is known of a scan; None where a number is missing."""
        is_stopped = gate is not None and gate.stops
        if (gate and not math.isfinite(gate.likeness)) or (reading is None and not is_stopped):
            return None
        point, side = self.card.operating_point, self.card.preprocessing.image_size
        evidence_map = None
        if reading is not None:
            cells = square_to_scan(reading.evidence, scan.height, scan.width, side)
            evidence_map = heatmap(cells, point, reading.probability)
        verdict = settled(reading.verdict, stability) if reading else Verdict.NOT_JUDGED
        finding = Finding(
            verdict=verdict,
            probability_fake=reading.probability if reading else None,
            threshold=point.threshold,
            inconclusive_band=point.inconclusive_band,
            reasons=(),
            weights_name=self.card.name,
            weights_sha256=self.card.sha256,
            device=reading.device if reading else CPU,
            inference_ms=inference_ms,
            gate=gate,
            stability=stability,
        )
        reasons = reasons_for(finding, evidence_map, spec_of(self.modality).noun)
        return Judgement(finding=replace(finding, reasons=reasons), heatmap=evidence_map)


def load_serving(
    weights_dir: Path, modality: str, machine: Machine, name: str | None = None
) -> Serving:
    """Load a checkpoint of a modality and the gate, and let them judge a blank scan.

    That first scan makes the libraries ready, and it shows that the weights compute at all.

    Args:
        weights_dir: The folder with ``active.toml``.
        modality: Key of the modality.
        machine: On what the networks are to run.
        name: Of the checkpoint; None takes the active one.

    Raises:
        WeightsError: Nothing is published, or what is cannot be used. A gate that cannot be used
            is no reason to do without one; a gate that is not there is.
    """
    if name is None:
        card_path = active_checkpoint(weights_dir, modality)
    else:
        card_path = checkpoint(weights_dir, modality, name)
    weights = check_detector(card_path)
    card = weights.card
    if card.modality != modality:
        raise WeightsDamagedError(card.name, f"they are for the modality {card.modality!r}")
    gate = check_gate(weights_dir, modality)
    export_apart(weights_dir, weights, gate, machine)
    serving = Serving(
        modality=modality,
        card=card,
        backend=make_backend(weights.build_network, card, machine),
        gate=None if gate is None else _serving_gate(gate, machine),
    )
    blank = np.zeros((card.preprocessing.image_size,) * 2, dtype=np.float32)
    if serving.judge([serving.prepare(blank, override_gate=True)]) == [None]:
        raise WeightsDamagedError(card.name, "they give no number for a blank scan")
    return serving


def _serving_gate(weights: CheckedWeights[GateCard], machine: Machine) -> ServingGate:
    backend = make_backend(weights.build_network, weights.card, machine)
    return ServingGate(card=weights.card, backend=backend)
