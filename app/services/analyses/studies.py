"""Studies: the slices of a series side by side, and one verdict on all of them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app.detection.card import Estimate
from app.detection.labels import Verdict
from app.errors import NotFoundError
from app.records import Role, SliceOutcome, Study, StudySlice, User
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.study_verdict import StudyFinding, study_finding
from app.services.audit import AuditService
from app.storage.studies import StudyStore
from app.storage.uploads import UploadStore

FALSE_ALARM_RATE = "false_alarm_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """How far a study is.

    Attributes:
        total: How many slices it has.
        finished: How many of them are done or failed.
        finding: None while slices are waiting or still coming in.
        most_suspicious: The slice with the highest score, or the first where none has one; None
            where no slice is left.
    """

    study: Study
    total: int
    finished: int
    finding: StudyFinding | None
    most_suspicious: UUID | None

    @property
    def is_final(self) -> bool:
        """Whether no slice is waiting or still coming in."""
        return self.finding is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """A study with all its slices.

    Attributes:
        slices: In the order of their position.
        names: What their sender calls the slices, for their sender alone.
    """

    summary: StudySummary
    slices: tuple[StudySlice, ...]
    names: dict[UUID, str]

    @property
    def most_suspicious_first(self) -> list[StudySlice]:
        """The slices by their score, those without one last."""
        return sorted(self.slices, key=lambda found: _suspicion(_outcome(found)), reverse=True)


class StudyService:
    """Finds studies and says what the verdicts on their slices mean together.

    Args:
        store: Which analyses belong together.
        uploads: What the slices are called.
        analyses: The slices.
        audit: Where it is recorded who did what.
    """

    def __init__(
        self,
        store: StudyStore,
        uploads: UploadStore,
        analyses: AnalysisService,
        audit: AuditService,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._analyses = analyses
        self._audit = audit

    def open(self, viewer: User, study_id: UUID) -> StudyPage:
        """Return a study to its owner or to an admin, which is recorded once it has a verdict.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see: no telling which.
        """
        study = self._visible(viewer, study_id)
        slices = tuple(
            replace(found, analysis=self._analyses.current(found.analysis))
            for found in self._store.slices(study_id)
        )
        growing = self._uploads.being_read_of([study.upload_id])
        outcomes = [_outcome(found) for found in slices]
        summary = self._summary(study, outcomes, is_growing=bool(growing))
        if summary.is_final:
            self._audit.record("study.viewed", actor=viewer.id, subject=str(study_id))
        ids = [found.analysis.id for found in slices]
        names = self._uploads.names_of(ids) if viewer.id == study.user_id else {}
        return StudyPage(summary=summary, slices=slices, names=names)

    def summary(self, viewer: User, study_id: UUID) -> StudySummary:
        """Return how far a study is, to its owner or to an admin.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to see.
        """
        return self._told(viewer, [self._visible(viewer, study_id)])[0]

    def summaries(self, studies: Sequence[Study]) -> list[StudySummary]:
        """Return how far studies are."""
        outcomes = self._store.outcomes([study.id for study in studies])
        growing = self._uploads.being_read_of([study.upload_id for study in studies])
        return [
            self._summary(study, outcomes[study.id], is_growing=study.upload_id in growing)
            for study in studies
        ]

    def visible(self, viewer: User, study_ids: Collection[UUID]) -> list[StudySummary]:
        """Return how far those of some studies are that exist and are the viewer's to see."""
        found = self._store.of_ids(study_ids) if study_ids else []
        studies = [study for study in found if _is_for(study, viewer)]
        return self._told(viewer, studies) if studies else []

    def study_of(self, analysis_id: UUID) -> UUID | None:
        """Return the id of the study that an analysis is a slice of; None where it is none."""
        return self._store.of_analysis(analysis_id)

    def delete(self, viewer: User, study_id: UUID) -> None:
        """Remove a study with all its analyses, for good, which is recorded as one act.

        Raises:
            NotFoundError: It does not exist or is not the viewer's to delete.
            StorageError: Something of it could not be removed; it can be done again.
        """
        study = self._visible(viewer, study_id)
        slices = [each.analysis_id for each in self._store.outcomes([study_id])[study_id]]
        self._analyses.removal.remove(slices)
        self._store.delete(study.id)
        ids = " ".join(str(analysis_id) for analysis_id in slices)
        self._audit.record(
            "study.deleted", actor=viewer.id, subject=str(study_id), count=len(slices), ids=ids
        )

    def delete_of_user(self, user_id: UUID) -> None:
        """Forget all studies of a user; their analyses are removed by whoever keeps those."""
        self._store.delete_of_user(user_id)

    def _told(self, viewer: User, studies: Sequence[Study]) -> list[StudySummary]:
        """Return how far studies are; that the verdict on another user's is read is recorded."""
        summaries = self.summaries(studies)
        for summary in summaries:
            if summary.is_final and summary.study.user_id != viewer.id:
                self._audit.record("study.viewed", actor=viewer.id, subject=str(summary.study.id))
        return summaries

    def _visible(self, viewer: User, study_id: UUID) -> Study:
        study = self._store.get(study_id)
        if not _is_for(study, viewer):
            raise NotFoundError("study")
        return study

    def _summary(
        self, study: Study, outcomes: Sequence[SliceOutcome], *, is_growing: bool
    ) -> StudySummary:
        """Return how far a study is; while files are being read it may get more slices."""
        finished = sum(outcome.status.is_final for outcome in outcomes)
        finding = None
        if finished == len(outcomes) and not is_growing:
            verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict is not None]
            finding = study_finding(verdicts, self._false_alarm_rate(study.modality, outcomes))
        first = max(outcomes, key=_suspicion, default=None)
        return StudySummary(
            study=study,
            total=len(outcomes),
            finished=finished,
            finding=finding,
            most_suspicious=first.analysis_id if first else None,
        )

    def _false_alarm_rate(self, modality: str, outcomes: Iterable[SliceOutcome]) -> Estimate | None:
        """Return the rate on the card of the weights that judged the slices, if these serve."""
        weights = {outcome.weights_sha256 for outcome in outcomes} - {None}
        availability = self._analyses.modalities().get(modality)
        card = availability.card if availability else None
        if card is None or weights != {card.sha256}:
            return None
        return card.metrics.get(FALSE_ALARM_RATE)


def _is_for(study: Study, viewer: User) -> bool:
    return study.user_id == viewer.id or viewer.role is Role.ADMIN


def _outcome(found: StudySlice) -> SliceOutcome:
    finding = found.analysis.finding
    return SliceOutcome(
        analysis_id=found.analysis.id,
        status=found.analysis.status,
        verdict=finding.verdict if finding else None,
        probability_fake=finding.probability_fake if finding else None,
        weights_sha256=finding.weights_sha256 if finding else None,
    )


def _suspicion(found: SliceOutcome) -> float:
    """Return the score of a slice; one below all scores where it has none."""
    if found.probability_fake is None or found.verdict is Verdict.NOT_JUDGED:
        return -1.0
    return found.probability_fake
