"""Site calibration: a limit that fits this site's own scans, beside the card's own.

An administrator hands in scans that are known to be authentic. How many of them the detector
calls fake is the site's false-alarm rate. From their scores a limit is set that a further
authentic scan exceeds no more often than was asked for. It can only be stricter about calling a
scan fake than the card: that a lower limit would find more fakes cannot be learned from authentic
scans. What was fake between the two limits is inconclusive.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from app.detection.card import Card
from app.detection.labels import Verdict
from app.detection.reasons import reasons_for
from app.detection.spec import modality as spec_of
from app.engine.protocol import Engine, Judgement
from app.errors import CalibrationError, ModalityUnavailableError, VeriscanError
from app.services.audit import AuditService
from app.services.decoding.decoding import DecodingService
from app.services.detectors.proportions import exact_interval, most_exceeding, needed_scans
from app.storage.calibration import CalibrationScore, CalibrationStore, SiteLimit

TARGETS = (0.01, 0.02, 0.05, 0.10)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A limit that could be set.

    Attributes:
        target: Share of authentic scans that may be called fake, in (0, 1).
        needed: From how many scans on it can be set.
        fake_above: The limit; None where there are too few scans.
        exceeding: How many of the scans at hand exceed it.
    """

    target: float
    needed: int
    fake_above: float | None
    exceeding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is known of a checkpoint at this site.

    Attributes:
        card: Of the checkpoint.
        scans: How many authentic scans were judged.
        stopped: How many more the gate did not let pass.
        false_alarms: How many were called fake, by the card's own limits.
        interval: Of that share, 95 %; None without scans.
        still_called_fake: How many of these the site's limit still calls fake; None without one.
        pending: How many scans are still being judged.
        options: The limits that could be set.
        limit: The one that is set; None where the card's own holds.
        scores: Of the scans, in [0, 1].
    """

    card: Card
    scans: int
    stopped: int
    false_alarms: int
    interval: tuple[float, float] | None
    still_called_fake: int | None
    pending: int
    options: tuple[Option, ...]
    limit: SiteLimit | None
    scores: tuple[float, ...]


class CalibrationService:
    """Collects scores of authentic scans, sets limits, and applies them to judgements.

    Args:
        engine: Judges the scans.
        store: Where scores and limits are; a scan itself is never kept.
        decoding: Reads the files.
        audit: Where changes are recorded.
        clock: Returns the present time.
    """

    def __init__(
        self,
        engine: Engine,
        store: CalibrationStore,
        decoding: DecodingService,
        audit: AuditService,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._store = store
        self._decoding = decoding
        self._audit = audit
        self._clock = clock
        self._pending: Counter[str] = Counter()
        self._lock = Lock()

    # --- collecting scores ------------------------------------------------------------------

    def add(self, modality: str, data: bytes) -> None:
        """Have an authentic scan judged; returns at once, and its score is kept when it is there.

        Raises:
            UnknownModalityError: There is no such modality.
            UploadError: The file cannot be judged.
            EngineError: The engine does not take it.
        """
        scan = self._decoding.decode_single(data, spec_of(modality))
        future = self._engine.submit(modality, scan.grey)
        with self._lock:
            self._pending[modality] += 1
        digest = scan.sha256
        future.add_done_callback(lambda done: self._keep(modality, digest, done))

    def _keep(self, modality: str, image_sha256: str, future: "Future[Judgement]") -> None:
        try:
            if future.cancelled() or future.exception() is not None:
                return
            finding = future.result().finding
            score = CalibrationScore(
                image_sha256=image_sha256,
                verdict=finding.verdict,
                probability_fake=finding.probability_fake,
            )
            with suppress(VeriscanError):
                self._store.add_score(modality, finding.weights_sha256, score)
        except Exception:  # in the engine's own thread, which nothing may stop
            log.exception("The score of an authentic scan could not be kept.")
        finally:
            with self._lock:
                self._pending[modality] -= 1

    # --- looking at them --------------------------------------------------------------------

    def of(self, modality: str) -> Calibration:
        """Return what is known of the checkpoint that serves a modality.

        Raises:
            UnknownModalityError: There is no such modality.
            ModalityUnavailableError: No checkpoint serves it.
        """
        card = self._card(modality)
        # Asked before the scores: a scan that is judged in between is told of twice, never not.
        pending = self._pending[modality]
        kept = self._store.scores(modality, card.sha256)
        scores = tuple(
            sorted(score.probability_fake for score in kept if score.probability_fake is not None)
        )
        fakes = [s.probability_fake or 0 for s in kept if s.verdict is Verdict.FAKE]
        limit = self._store.limit(modality, card.sha256)
        above = sum(score > limit.fake_above for score in fakes) if limit else None
        return Calibration(
            card=card,
            scans=len(scores),
            stopped=len(kept) - len(scores),
            false_alarms=len(fakes),
            interval=exact_interval(len(fakes), len(scores)) if scores else None,
            still_called_fake=above,
            pending=pending,
            options=tuple(option_for(scores, target, card) for target in TARGETS),
            limit=limit,
            scores=scores,
        )

    def _card(self, modality: str) -> Card:
        spec = spec_of(modality)
        availability = self._engine.availability()[modality]
        if availability.card is None:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        return availability.card

    # --- setting limits ---------------------------------------------------------------------

    def set_limit(self, modality: str, target: float, *, actor: UUID) -> SiteLimit:
        """Let this site call fewer scans fake, from the next verdict on.

        Args:
            modality: Key of the modality.
            target: One of ``TARGETS``.
            actor: Who does it.

        Raises:
            CalibrationError: There is no such target, or there are too few scans for it.
            ModalityUnavailableError: No checkpoint serves it.
        """
        known = self.of(modality)
        option = next((option for option in known.options if option.target == target), None)
        if option is None or option.fake_above is None:
            raise CalibrationError(option.needed if option else needed_scans(TARGETS[-1]))
        limit = SiteLimit(
            modality=modality,
            weights_sha256=known.card.sha256,
            fake_above=option.fake_above,
            target=target,
            scans=known.scans,
            set_at=self._clock(),
            set_by=actor,
        )
        self._store.set_limit(limit)
        self._audit.record(
            "calibration.limit_set",
            actor=actor,
            subject=modality,
            fake_above=limit.fake_above,
            target=target,
            scans=limit.scans,
            weights_sha256=limit.weights_sha256,
        )
        return limit

    def clear_limit(self, modality: str, *, actor: UUID) -> None:
        """Go back to the card's own limit, from the next verdict on."""
        self._store.clear_limit(modality, self._card(modality).sha256)
        self._audit.record("calibration.limit_removed", actor=actor, subject=modality)

    def clear_scores(self, modality: str, *, actor: UUID) -> None:
        """Forget the scores that were collected; a limit that was set stays."""
        self._store.clear_scores(modality, self._card(modality).sha256)
        self._audit.record("calibration.scores_removed", actor=actor, subject=modality)

    # --- applying them ----------------------------------------------------------------------

    def applied(self, modality: str, judgement: Judgement) -> Judgement:
        """Return a judgement as the limit of this site has it."""
        limit = self._store.limit(modality, judgement.finding.weights_sha256)
        return judgement if limit is None else with_limit(judgement, limit)


def option_for(scores: Sequence[float], target: float, card: Card) -> Option:
    """Return the limit for a target.

    Args:
        scores: Of the site's authentic scans, rising, each in [0, 1].
        target: Share of authentic scans that may be called fake, in (0, 1).
        card: Of the checkpoint; its own limit is never undercut.
    """
    needed = needed_scans(target)
    exceeding = most_exceeding(len(scores), target)
    if exceeding is None:
        return Option(target=target, needed=needed, fake_above=None, exceeding=0)
    own = card.operating_point.inconclusive_band[1]
    fake_above = max(own, scores[len(scores) - 1 - exceeding])
    return Option(
        target=target,
        needed=needed,
        fake_above=fake_above,
        exceeding=sum(score > fake_above for score in scores),
    )


def with_limit(judgement: Judgement, limit: SiteLimit) -> Judgement:
    """Return a judgement with the site's limit in place of the card's, which the reasons name."""
    finding = judgement.finding
    low, own = finding.inconclusive_band
    if finding.probability_fake is None or limit.fake_above <= own:
        return judgement
    is_withdrawn = finding.verdict is Verdict.FAKE and finding.probability_fake <= limit.fake_above
    finding = replace(
        finding,
        inconclusive_band=(low, limit.fake_above),
        verdict=Verdict.INCONCLUSIVE if is_withdrawn else finding.verdict,
    )
    reasons = reasons_for(
        # That variants agreed is no reason for a verdict which is none any more.
        replace(finding, stability=None) if is_withdrawn else finding,
        judgement.heatmap,
        spec_of(limit.modality).noun,
    )
    note = (
        f"This site uses a limit of its own, {limit.fake_above:.3f} in place of {own:.3f}: set on "
        f"{limit.set_at.day} {limit.set_at:%B %Y} from {limit.scans} of its authentic scans, so "
        f"that at most {limit.target * 100:g} % of such scans are called fake."
    )
    return replace(judgement, finding=replace(finding, reasons=(*reasons, note)))
