"""Which checkpoint serves a modality, and which one is tried beside it in the shadow."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from app.detection.card import Card
from app.detection.labels import Verdict
from app.detection.spec import modality as spec_of
from app.engine.protocol import Candidate, Engine, Judgement, ShadowEngine
from app.errors import ModalityUnavailableError, ShadowUnavailableError, VeriscanError
from app.records import Analysis
from app.services.audit import AuditService
from app.services.detectors.proportions import exact_interval
from app.storage.shadow import Comparison, ShadowRun, ShadowStore

VERDICTS = (Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.FAKE, Verdict.NOT_JUDGED)
SHOWN_DISAGREEMENTS = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """How far a candidate agrees with the active checkpoint.

    Attributes:
        scans: How many both have judged.
        agreeing: Of how many both gave the same verdict.
        interval: Of that share, 95 %; None without scans.
        table: How many scans got which verdict, rows for the active one, columns for the
            candidate, both in the order of ``VERDICTS``.
        disagreements: The newest scans with different verdicts.
    """

    run: ShadowRun
    scans: int
    agreeing: int
    interval: tuple[float, float] | None
    table: tuple[tuple[int, ...], ...]
    disagreements: tuple[Comparison, ...]


class DetectorService:
    """Activates checkpoints and runs candidates in the shadow.

    Args:
        engine: Has the checkpoints.
        store: Where the shadow runs are.
        audit: Where changes are recorded.
        clock: Returns the present time.
    """

    def __init__(
        self,
        engine: Engine,
        store: ShadowStore,
        audit: AuditService,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._store = store
        self._audit = audit
        self._clock = clock
        self._runs: dict[str, ShadowRun] = {}
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="veriscan-shadow")

    def candidates(self, modality: str) -> Sequence[Candidate]:
        """Return the checkpoints that could serve a modality, the active one included."""
        return self._engine.candidates(modality)

    def activate(self, modality: str, name: str, *, actor: UUID) -> Card:
        """Let a checkpoint serve a modality; if that fails, the former serves on.

        Raises:
            UnknownModalityError: There is no such modality.
            WeightsError: The checkpoint cannot be used.
            EngineError: The choice cannot be written down, or the engine does not run.
        """
        before = self._engine.availability()[spec_of(modality).key].card
        card = self._engine.activate(modality, name)
        self._audit.record(
            "detector.activated",
            actor=actor,
            subject=modality,
            name=card.name,
            weights_sha256=card.sha256,
            before=before.name if before else "none",
            before_sha256=before.sha256 if before else "",
        )
        # It was compared with what does not serve any more.
        self._end(modality)
        return card

    # --- the shadow -------------------------------------------------------------------------

    @property
    def can_shadow(self) -> bool:
        """Whether this engine can judge with two checkpoints at a time."""
        return isinstance(self._engine, ShadowEngine)

    def start_shadow(self, modality: str, name: str, *, actor: UUID) -> ShadowRun:
        """Let a candidate judge the scans that come in from now on, beside the active checkpoint.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: Nothing serves it that could be compared with.
            WeightsError: The candidate cannot be used.
            ShadowUnavailableError: This engine cannot do it.
        """
        spec = spec_of(modality)
        active = self._engine.availability()[modality]
        if active.card is None:
            raise ModalityUnavailableError(spec.title, active.reason or "")
        candidate = self._shadow_engine().start_shadow(modality, name)
        run = ShadowRun(
            id=uuid4(),
            modality=modality,
            candidate_name=candidate.name,
            candidate_sha256=candidate.sha256,
            active_name=active.card.name,
            active_sha256=active.card.sha256,
            started=self._clock(),
        )
        self._store.start(run)
        self._runs[modality] = run
        self._audit.record(
            "detector.shadow_started",
            actor=actor,
            subject=modality,
            name=name,
            weights_sha256=candidate.sha256,
        )
        return run

    def stop_shadow(self, modality: str, *, actor: UUID) -> None:
        """End the shadow run of a modality; what it found stays to be seen."""
        self._end(spec_of(modality).key)
        self._audit.record("detector.shadow_stopped", actor=actor, subject=modality)

    def _end(self, modality: str) -> None:
        self._runs.pop(modality, None)
        if isinstance(self._engine, ShadowEngine):
            self._engine.stop_shadow(modality)
        self._store.end(modality, self._clock())

    def resume(self) -> None:
        """Take up the shadow runs that a restart interrupted; one that cannot be is ended."""
        for run in self._store.running():
            try:
                card = self._shadow_engine().start_shadow(run.modality, run.candidate_name)
            except VeriscanError as error:
                log.warning("A shadow run cannot go on: %s", error)
                self._store.end(run.modality, self._clock())
                continue
            if card.sha256 == run.candidate_sha256:
                self._runs[run.modality] = run
            else:
                self._end(run.modality)

    def watch(self, analysis: Analysis, grey: NDArray[np.float32]) -> None:
        """Let the candidate, if there is one, judge a scan that the active checkpoint has got."""
        run = self._runs.get(analysis.modality)
        if run is None or not isinstance(self._engine, ShadowEngine):
            return
        try:
            future = self._engine.submit_shadow(analysis.modality, grey)
        except Exception:  # the user's own verdict does not depend on it
            log.exception("A scan could not be judged in the shadow.")
            return
        if future is not None:
            future.add_done_callback(lambda done: self._pass_on(run, analysis.id, done))

    def _pass_on(self, run: ShadowRun, analysis_id: UUID, future: "Future[Judgement]") -> None:
        if future.cancelled() or future.exception() is not None:
            return
        with suppress(RuntimeError):  # closed
            self._recorder.submit(self._keep, run, analysis_id, future.result())

    def _keep(self, run: ShadowRun, analysis_id: UUID, judgement: Judgement) -> None:
        finding = judgement.finding
        try:
            self._store.add(run.id, analysis_id, finding.verdict, finding.probability_fake)
        except VeriscanError:
            log.exception("What a candidate said of a scan could not be stored.")

    def close(self) -> None:
        """Store what the candidates have said."""
        self._recorder.shutdown(wait=True)

    def report(self, modality: str) -> ShadowReport | None:
        """Return how far the latest candidate agrees; None where none was tried.

        Raises:
            StorageError: The database cannot be read.
        """
        run = self._store.latest(modality)
        return None if run is None else summed_up(run, self._store.comparisons(run))

    def _shadow_engine(self) -> ShadowEngine:
        if not isinstance(self._engine, ShadowEngine):
            raise ShadowUnavailableError
        return self._engine


def summed_up(run: ShadowRun, comparisons: Sequence[Comparison]) -> ShadowReport:
    """Return how far two checkpoints agree."""
    apart = [one for one in comparisons if one.active is not one.candidate]
    agreeing = len(comparisons) - len(apart)
    return ShadowReport(
        run=run,
        scans=len(comparisons),
        agreeing=agreeing,
        interval=exact_interval(agreeing, len(comparisons)) if comparisons else None,
        table=tuple(
            tuple(
                sum(one.active is active and one.candidate is candidate for one in comparisons)
                for candidate in VERDICTS
            )
            for active in VERDICTS
        ),
        disagreements=tuple(apart[:SHOWN_DISAGREEMENTS]),
    )
