"""From a network's logit to a verdict: calibration, the operating point and the finding.

Calibration is temperature scaling with a bias (Platt 1999; Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017). The inconclusive band is a reject option (Chow 1970): probabilities
inside it give no verdict, so that outside it each error rate stays at the level that was chosen on
the validation side.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.detection.labels import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """How logits become probabilities, and probabilities verdicts.

    Attributes:
        temperature: Divisor of the logit, positive; 1 leaves it as it is.
        bias: Subtracted from the logit before the division.
        threshold: The probability from which on a scan is taken for fake, in [0, 1].
        inconclusive_band: Below the first a scan is real, above the second fake, between them
            (both included) inconclusive. ``first <= threshold <= second``.
    """

    temperature: float
    bias: float
    threshold: float
    inconclusive_band: tuple[float, float]

    def __post_init__(self) -> None:
        low, high = self.inconclusive_band
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not math.isfinite(self.bias):
            raise ValueError(f"bias must be finite, got {self.bias}")
        if not 0 <= low <= self.threshold <= high <= 1:
            raise ValueError(
                f"0 <= low <= threshold <= high <= 1 does not hold for low {low}, "
                f"threshold {self.threshold}, high {high}"
            )

    def probability(self, logit: float) -> float:
        """Return the calibrated probability of FAKE, in [0, 1]."""
        scaled = (logit - self.bias) / self.temperature
        if scaled >= 0:
            return 1.0 / (1.0 + math.exp(-scaled))
        return math.exp(scaled) / (1.0 + math.exp(scaled))

    def verdict(self, probability: float) -> Verdict:
        """Return the verdict for a calibrated probability of FAKE in [0, 1]."""
        low, high = self.inconclusive_band
        if probability < low:
            return Verdict.REAL
        if probability > high:
            return Verdict.FAKE
        return Verdict.INCONCLUSIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFinding:
    """Whether an image looks like the kind of scan that it is said to be.

    Attributes:
        likeness: How much it looks like that kind, in [0, 1].
        threshold: Images with less likeness than this are not judged, in [0, 1].
        is_overridden: Whether its sender asked for a verdict whatever the gate says.
        sha256: Hash of the gate's file, hex.
    """

    likeness: float
    threshold: float
    is_overridden: bool
    sha256: str

    @property
    def looks_right(self) -> bool:
        """Whether the image looks like the kind of scan that it is said to be."""
        return self.likeness >= self.threshold

    @property
    def stops(self) -> bool:
        """Whether the image is not judged."""
        return not self.looks_right and not self.is_overridden


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityFinding:
    """What the detector said of harmless variants of a scan, see ``app.detection.stability``.

    Attributes:
        probabilities: Calibrated probability of FAKE of each variant, in [0, 1], by its name.
        is_stable: Whether the verdict holds for all of them.
    """

    probabilities: Mapping[str, float]
    is_stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the engine found in a scan, with everything needed to say how it came about.

    Attributes:
        probability_fake: Calibrated, in [0, 1]; None where the gate stopped the scan.
        threshold: The probability from which on a scan is taken for fake, in [0, 1].
        inconclusive_band: Probabilities between these two give no verdict, each in [0, 1].
        reasons: Sentences that explain the verdict.
        weights_name: Name of the checkpoint, such as ``efficientnet_b4``.
        weights_sha256: Hash of the checkpoint file, hex.
        device: ``cpu`` or ``cuda``.
        inference_ms: Time that the scan spent in the networks, in milliseconds.
        gate: What the gate said; None where the modality has none.
        stability: What variants of the scan got; None where none were tried, since the scan has
            no verdict that they could shake.
    """

    verdict: Verdict
    probability_fake: float | None
    threshold: float
    inconclusive_band: tuple[float, float]
    reasons: tuple[str, ...]
    weights_name: str
    weights_sha256: str
    device: str
    inference_ms: float
    gate: GateFinding | None = None
    stability: StabilityFinding | None = None
