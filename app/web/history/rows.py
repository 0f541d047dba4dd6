"""Analyses as a list shows them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from app.records import Analysis, Note
from app.services.analyses.history import Line
from app.services.analyses.studies import StudySummary
from app.web.offers import title_of
from app.web.uploads.progress_words import study_badge
from app.web.wording import Badge, badge_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRow:
    """One line of a list: an analysis, or the study for which it stands.

    Attributes:
        title: Of the modality.
        picture: The analysis whose picture is shown.
        note: What its owner wrote to it, where the list shows that.
        name: Of its file, where the list shows that.
        study_id: Of the study that it is a slice of, where the list shows that.
        study: The study, where the line stands for all of it.
    """

    analysis: Analysis
    title: str
    badge: Badge
    picture: UUID
    is_final: bool
    note: Note | None = None
    name: str = ""
    study_id: UUID | None = None
    study: StudySummary | None = None


def rows_in_brief(lines: Iterable[Line]) -> list[AnalysisRow]:
    """Return lines without what their owner wrote to them and calls them."""
    return [replace(row, note=None, name="", study_id=None) for row in rows_of_history(lines)]


def rows_of_history(lines: Iterable[Line]) -> list[AnalysisRow]:
    """Return the lines of somebody's own history, with all that they know of each analysis."""
    return [_row_of_study(line, line.study) if line.study else _row_of(line) for line in lines]


def _row_of(line: Line) -> AnalysisRow:
    return AnalysisRow(
        analysis=line.analysis,
        title=title_of(line.analysis.modality),
        badge=badge_of(line.analysis),
        picture=line.analysis.id,
        is_final=line.is_final,
        note=line.note,
        name=line.name,
        study_id=line.study_id,
    )


def _row_of_study(line: Line, study: StudySummary) -> AnalysisRow:
    return AnalysisRow(
        analysis=line.analysis,
        title=title_of(study.study.modality),
        badge=study_badge(study),
        picture=study.most_suspicious or line.analysis.id,
        is_final=line.is_final,
        study_id=line.study_id,
        study=study,
    )
