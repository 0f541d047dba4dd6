"""What the rest of the application may ask of an engine, wherever it runs."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.detection.card import Card
from app.detection.gate_card import GateCard
from app.detection.verdict import Finding

CPU = "cpu"
CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A finding with its heatmap.

    Attributes:
        finding: The verdict and how it came about.
        heatmap: Evidence for FAKE over the scan, float32 in [0, 1], shape ``[h, w]`` (coarser
            than the scan, same field of view); 0 where nothing speaks for a fake. None for a scan
            that was not judged.
    """

    finding: Finding
    heatmap: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether a modality can be judged now.

    Attributes:
        modality: Key of the modality.
        card: The card of the checkpoint that serves it; None when none does.
        gate_card: The card of the gate before it; None when there is none.
        reason: Why it cannot be judged; None when it can.
    """

    modality: str
    card: Card | None = None
    gate_card: GateCard | None = None
    reason: str | None = None

    @property
    def is_available(self) -> bool:
        """Whether a checkpoint serves this modality."""
        return self.card is not None


class Engine(Protocol):
    """Judges scans, one at a time or in batches, here or on another machine."""

    @property
    def device(self) -> str:
        """Where the networks run: ``cpu`` or ``cuda``."""

    def start(self) -> None:
        """Load the published weights and begin to serve. A second call does nothing."""

    def stop(self) -> None:
        """Stop serving; scans still waiting get ``EngineStoppedError``."""

    def availability(self) -> Mapping[str, Availability]:
        """Return for every known modality whether it can be judged, by key."""

    def submit(
        self, modality: str, scan: NDArray[np.float32], *, override_gate: bool = False
    ) -> "Future[Judgement]":
        """Queue a scan; return at once.

        Args:
            modality: Key of the modality.
            scan: Grey values, float32 in [0, 1], shape ``[H, W]``, as
                ``app.detection.decoding.decode`` returns them.
            override_gate: Judge it even if it does not look like a scan of this modality.

        Returns:
            A future that is always completed: with a judgement or with an ``EngineError``.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
            QueueFullError: Too many scans are waiting.
            EngineStoppedError: The engine has been stopped.
        """

    def queue_length(self) -> int:
        """Return how many scans are waiting."""
