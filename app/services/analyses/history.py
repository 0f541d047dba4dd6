"""A user's own analyses: filtered, turned page by page, exported, and deleted in numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from uuid import UUID

from app.records import Analysis, HistoryFilter, HistoryOrder, HistoryPlace, Note, User
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.studies import StudyService, StudySummary
from app.services.audit import AuditService
from app.storage.history import HistoryStore
from app.storage.notes import NoteStore
from app.storage.uploads import UploadStore
from app.storage.words import words_of

MOST_COUNTED = 10_000
EVERYTHING = 10**9
READ_AT_ONCE = 500
DELETED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the history begins: right after a place, or right before one."""

    at: HistoryPlace
    is_after: bool


@dataclass(frozen=True, slots=True)
class Line:
    """An analysis as its owner knows it, or the study for which it stands.

    Attributes:
        note: An empty one where there is none.
        name: Of its file, as its owner calls it; empty where that is not kept.
        study_id: Of the study that it is a slice of; None where it stands alone.
        study: How far that is, where the line stands for all of it.
    """

    analysis: Analysis
    note: Note
    name: str = ""
    study_id: UUID | None = None
    study: StudySummary | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing is waited for."""
        return self.study.is_final if self.study else self.analysis.status.is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One page of a history.

    Attributes:
        lines: In the order asked for.
        before: What turns to the page before; None on the first one.
        after: What turns to the page after; None on the last one.
        total: How many analyses fit, on all pages; None where they are too many to be counted for
            every page.
        total_lines: How many lines these make; None where ``total`` is.
    """

    lines: tuple[Line, ...]
    before: Place | None
    after: Place | None
    total: int | None
    total_lines: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What came of deleting many: how many are gone, and how many are still to go."""

    deleted: int
    left: int


class HistoryService:
    """Finds what a user had judged; nobody finds anything of others here, administrators included.

    Args:
        store: Finds the analyses.
        notes: What their owners wrote to them.
        uploads: What their owners call their files.
        analyses: Deletes them, and knows which are in the network now.
        studies: What their slices are together.
        audit: Where exports and deletions are recorded.
    """

    def __init__(
        self,
        store: HistoryStore,
        notes: NoteStore,
        uploads: UploadStore,
        analyses: AnalysisService,
        studies: StudyService,
        audit: AuditService,
    ) -> None:
        self._store = store
        self._notes = notes
        self._uploads = uploads
        self._analyses = analyses
        self._studies = studies
        self._audit = audit

    # --- finding ----------------------------------------------------------------------------

    def recent(self, viewer: User, limit: int) -> list[Line]:
        """Return the viewer's latest analyses and studies, newest first."""
        wanted = HistoryFilter(is_by_study=True)
        found = self._store.after(viewer.id, wanted, HistoryOrder.NEWEST, None, limit)
        return self._of_studies(viewer, self._lines(self._current(found)))

    def sheet(
        self,
        viewer: User,
        wanted: HistoryFilter,
        order: HistoryOrder = HistoryOrder.NEWEST,
        *,
        place: Place | None = None,
        size: int = 25,
    ) -> Sheet:
        """Return the page that begins at a place; the first one where there is no place."""
        found, before, after = self._turned(viewer, wanted, order, place, size)
        lines = self._lines(self._current(found))
        if wanted.is_by_study:
            lines = self._of_studies(viewer, lines)
        total = total_lines = self._total(viewer, replace(wanted, is_by_study=False))
        if wanted.is_by_study and total is not None:
            total_lines = self._total(viewer, wanted)
        return Sheet(
            lines=tuple(lines),
            before=Place(_place_of(found[0], order), is_after=False) if before else None,
            after=Place(_place_of(found[-1], order), is_after=True) if after else None,
            total=total,
            total_lines=total_lines,
        )

    def _total(self, viewer: User, wanted: HistoryFilter) -> int | None:
        if not self._store.is_quick_to_count(viewer.id, wanted):
            return None
        total = self._store.count(viewer.id, wanted, MOST_COUNTED + 1)
        return total if total <= MOST_COUNTED else None

    def _turned(
        self,
        viewer: User,
        wanted: HistoryFilter,
        order: HistoryOrder,
        place: Place | None,
        size: int,
    ) -> tuple[list[Analysis], bool, bool]:
        """Return a page, and whether there is one before and one after it."""
        if place is not None and not place.is_after:
            found = self._store.before(viewer.id, wanted, order, place.at, size + 1)
            if len(found) > size:
                return found[1:], True, True
            # Too few to fill a page, so this is the first one, and it begins at the beginning.
            place = None
        found = self._store.after(viewer.id, wanted, order, place.at if place else None, size + 1)
        return found[:size], bool(place and found), len(found) > size

    def count(self, viewer: User, wanted: HistoryFilter) -> int:
        """Return how many analyses fit, however many there are."""
        return self._store.count(viewer.id, wanted, EVERYTHING)

    def tags(self, viewer: User) -> list[str]:
        """Return the viewer's tags from a to z, at most 200."""
        return self._notes.tags_of_user(viewer.id)

    # --- exporting --------------------------------------------------------------------------

    def each(
        self, viewer: User, wanted: HistoryFilter, order: HistoryOrder, *, file_format: str
    ) -> Iterator[Line]:
        """Yield all analyses that fit, without holding more than some hundreds of them.

        Args:
            viewer: Whose they are.
            wanted: Which.
            order: In which they come.
            file_format: What they are exported as, for the audit trail.
        """
        self._audit.record("history.exported", actor=viewer.id, format=file_format)
        return self._walk(viewer, wanted, order)

    def _walk(self, viewer: User, wanted: HistoryFilter, order: HistoryOrder) -> Iterator[Line]:
        place = None
        while found := self._store.after(viewer.id, wanted, order, place, READ_AT_ONCE):
            yield from self._lines(self._current(found))
            place = _place_of(found[-1], order)

    def _lines(self, analyses: list[Analysis]) -> list[Line]:
        ids = [analysis.id for analysis in analyses]
        notes, names = self._notes.of_analyses(ids), self._uploads.names_of(ids)
        studies = self._store.studies_of(ids)
        return [
            Line(
                analysis,
                notes.get(analysis.id, Note(analysis_id=analysis.id)),
                names.get(analysis.id, ""),
                studies.get(analysis.id),
            )
            for analysis in analyses
        ]

    def _of_studies(self, viewer: User, lines: list[Line]) -> list[Line]:
        """Let each slice among some lines stand for its study."""
        ids = {line.study_id for line in lines if line.study_id}
        studies = {each.study.id: each for each in self._studies.visible(viewer, ids)}
        return [
            replace(line, study=studies.get(line.study_id) if line.study_id else None)
            for line in lines
        ]

    def _current(self, analyses: list[Analysis]) -> list[Analysis]:
        return [self._analyses.current(analysis) for analysis in analyses]

    # --- deleting ---------------------------------------------------------------------------

    def delete(self, viewer: User, wanted: HistoryFilter, *, patience_s: float) -> Deletion:
        """Delete the analyses that fit, oldest first, for good.

        Studies that are named go first, each as a whole and as one act.

        It stops when it has taken long enough, so that a browser gets its answer; what is left
        then stays whole.

        Args:
            viewer: Whose they are.
            wanted: Which.
            patience_s: After how many seconds no more are begun.
        """
        deadline_s = monotonic() + patience_s
        deleted = 0
        for count in self._deletions(viewer, wanted):
            deleted += count
            if monotonic() >= deadline_s:
                break
        return Deletion(deleted, self.count(viewer, wanted))

    def _deletions(self, viewer: User, wanted: HistoryFilter) -> Iterator[int]:
        """Delete step by step, and yield after each how many analyses it took."""
        for study_id in wanted.studies or ():
            yield self._delete_study(viewer, study_id)
        while ids := self._store.ids(viewer.id, wanted, DELETED_AT_ONCE):
            yield self._analyses.removal.delete_many(viewer, ids)

    def _delete_study(self, viewer: User, study_id: UUID) -> int:
        """Delete a study of the viewer's own, and return how many slices it had."""
        slices = self._store.count(
            viewer.id, HistoryFilter(studies=frozenset({study_id})), EVERYTHING
        )
        if slices:
            self._studies.delete(viewer, study_id)
        return slices


def sought_words(text: str) -> tuple[str, ...]:
    """Return the words that somebody looks for, as ``HistoryFilter`` wants them."""
    return words_of([text])


def _place_of(analysis: Analysis, order: HistoryOrder) -> HistoryPlace:
    if not order.is_by_score:
        return HistoryPlace(analysis.created, analysis.id)
    score = analysis.finding.probability_fake if analysis.finding else None
    return HistoryPlace(0.0 if score is None else score, analysis.id)
