"""One page of a user's analyses, counted from the newest."""

from dataclasses import dataclass

from app.records import Analysis


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """One page of a user's analyses, newest first.

    Attributes:
        page: Its number, from 1.
        per_page: How many a page holds at most.
        total: How many there are on all pages.
    """

    analyses: tuple[Analysis, ...]
    page: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least 1."""
        return max(1, -(-self.total // self.per_page))
