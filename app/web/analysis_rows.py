"""Analyses as a list shows them."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.records import Analysis
from app.web.offers import title_of
from app.web.wording import Badge, badge_of


@dataclass(frozen=True, slots=True)
class AnalysisRow:
    """One line of a list.

    Attributes:
        title: Of the modality.
    """

    analysis: Analysis
    title: str
    badge: Badge


def rows_of(analyses: Iterable[Analysis]) -> list[AnalysisRow]:
    """Return a line for each analysis, in the order given."""
    return [AnalysisRow(item, title_of(item.modality), badge_of(item)) for item in analyses]
