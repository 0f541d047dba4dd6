"""Which analyses a script asks for: filters, order, and a cursor that turns the pages."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.detection.spec import modalities
from app.records import HistoryFilter, HistoryOrder, HistoryPlace, Outcome
from app.services.analyses.history import Place
from app.services.analyses.notes import checked_tag
from app.web.api.received import check_parameters, choice, parameter

PER_PAGE = 20
MAX_PER_PAGE = 100
PARAMETERS = ("modality", "result", "since", "until", "tag", "sort", "limit", "after")
ORDERS = (HistoryOrder.NEWEST, HistoryOrder.OLDEST)
CURSOR = re.compile(r"(?P<us>[0-9]{1,16})_(?P<id>[0-9a-f]{32})", re.ASCII)
LIMIT = re.compile(r"[0-9]{1,3}", re.ASCII)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.I)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of the analyses that a script asks for.

    Attributes:
        place: Where it begins; None for the first one.
        size: How many analyses it holds, at most.
    """

    wanted: HistoryFilter
    order: HistoryOrder
    place: Place | None
    size: int


def read_listing() -> Listing:
    """Return what the address asks for.

    Raises:
        ApiQueryInvalidError: A parameter cannot be.
    """
    check_parameters(PARAMETERS)
    wanted = HistoryFilter(
        modality=parameter(
            "modality", _modality, f"one of these values: {', '.join(modalities())}"
        ),
        outcome=choice("result", Outcome, tuple(Outcome)),
        since=parameter("since", _moment, "a time such as 2026-11-20T10:00:00Z"),
        until=parameter("until", _moment, "a time such as 2026-11-20T10:00:00Z"),
        tag=checked_tag(parameter("tag", str, "") or ""),
    )
    return Listing(
        wanted=wanted,
        order=choice("sort", HistoryOrder, ORDERS) or HistoryOrder.NEWEST,
        place=parameter("after", _place, "the value that is in “next”, unchanged"),
        size=parameter("limit", _size, f"a whole number from 1 to {MAX_PER_PAGE}") or PER_PAGE,
    )


def cursor_of(place: Place) -> str:
    """Return a place as an address holds it; ``read_listing`` reads it."""
    if not isinstance(place.at.key, datetime):
        raise TypeError("only places in the order of time have a cursor")
    return f"{(place.at.key - EPOCH) // MICROSECOND}_{place.at.analysis_id.hex}"


def _place(text: str) -> Place:
    found = CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(text)
    moment = EPOCH + int(found["us"]) * MICROSECOND
    return Place(HistoryPlace(moment, UUID(found["id"])), is_after=True)


def _modality(text: str) -> str:
    if text not in modalities():
        raise ValueError(text)
    return text


def _size(text: str) -> int:
    if not LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_PER_PAGE:
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime:
    """Return a moment that is written as RFC 3339 has it."""
    if not MOMENT.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
