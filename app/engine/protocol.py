"""What the rest of the application may ask of an engine, wherever it runs."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A checkpoint in the weights folder that may be chosen to serve a modality.

    Attributes:
        name: Of the checkpoint.
        card: What is known of it; None where the card cannot be used.
        is_active: Whether it serves now.
        problem: Why it cannot be chosen, as far as the card tells; None where it may be. Whether
            its weights are sound is only found out by ``Engine.activate``.
    """

    name: str
    card: Card | None = None
    is_active: bool = False
    problem: str | None = None


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

    def check_room(self, scans: int = 1) -> None:
        """Check that so many scans could be submitted now, before any work is spent on them.

        Raises:
            QueueFullError: Too many scans are waiting.
            EngineStoppedError: The engine has been stopped.
        """

    def candidates(self, modality: str) -> Sequence[Candidate]:
        """Return the checkpoints in the weights folder that are for a modality, by name.

        Raises:
            UnknownModalityError: There is no such modality.
        """

    def activate(self, modality: str, name: str) -> Card:
        """Let another checkpoint serve a modality, without a restart and without a lost scan.

        It is loaded beside the one that serves and must match its card, hash included, and give
        the answers that its network is known to give. Only then is the choice written to
        ``active.toml``, and it takes over: scans that were taken in before are judged by the one
        that took them. If anything fails, the former serves as before, after a restart too. This
        takes some seconds, in which scans are judged as ever.

        The checkpoint that serves may be activated again, which loads its files (and those of the
        gate) anew.

        Args:
            modality: Key of the modality.
            name: Of the checkpoint, one of ``candidates``.

        Returns:
            The card of what serves now.

        Raises:
            UnknownModalityError: There is no such modality.
            WeightsError: The checkpoint cannot be used; the message says why.
            ActivationError: It could be, but the choice cannot be written down.
            EngineStoppedError: The engine does not run.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFigures:
    """What an engine has done since its start.

    Attributes:
        is_alive: Whether it takes scans and all its threads run.
        restarts: How often a thread failed and began again.
        batches: How many batches there were, by how many scans were in them.
        memory_shortages: How often the GPU had no memory for a batch, which was then halved or
            judged on the CPU, or for a whole network.
    """

    is_alive: bool
    restarts: int
    batches: Mapping[int, int]
    memory_shortages: int = 0


@runtime_checkable
class MeasuredEngine(Protocol):
    """An engine that tells what it has done."""

    def figures(self) -> EngineFigures:
        """Return the figures of this moment."""


@runtime_checkable
class ShadowEngine(Protocol):
    """An engine that can judge with a candidate beside the checkpoint that serves."""

    def start_shadow(self, modality: str, name: str) -> Card:
        """Load a candidate, one of ``Engine.candidates``, in place of the one there may be.

        Raises:
            UnknownModalityError: There is no such modality.
            WeightsError: The candidate cannot be used.
            EngineStoppedError: The engine does not run.
        """

    def stop_shadow(self, modality: str) -> None:
        """Let go of the candidate of a modality; does nothing where there is none."""

    def submit_shadow(self, modality: str, scan: NDArray[np.float32]) -> "Future[Judgement] | None":
        """Let the candidate judge a scan as well, if nobody waits for the engine.

        Returns:
            A future as of ``Engine.submit``; None where there is no candidate or no time for it.
        """
