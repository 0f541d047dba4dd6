"""The history's filters as its address holds them, so that paging and going back keep them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from werkzeug.datastructures import MultiDict

from app.detection.spec import modalities
from app.errors import TagTooLongError
from app.records import HistoryFilter, HistoryOrder, HistoryPlace, Outcome
from app.services.analyses.history import Place, sought_words
from app.services.analyses.notes import checked_tag
from app.web.forms import Form

FILTERS = {
    "q": "what you look for",
    "modality": "a kind of scan",
    "result": "a result",
    "from": "the first day",
    "until": "the last day",
    "tag": "a tag",
    "sort": "an order",
    "zone": "your time zone",
}
PLACES = ("after", "before")
MAX_TEXT_CHARACTERS = 200
MAX_WORDS = 8
MAX_IDS = 200
FIRST_YEAR, LAST_YEAR = 1900, 2999
DAY = timedelta(days=1)

LOST = "This address leads nowhere in your history. Start again at its first page."
NO_SUCH = {
    "modality": "There is no such kind of scan. Choose one of the list.",
    "result": "There is no such result. Choose one of the list.",
    "sort": "There is no such order. Choose one of the list.",
    "from": "The first day cannot be read. Give it as 2026-11-20.",
    "until": "The last day cannot be read. Give it as 2026-11-20.",
    "zone": "There is no such time zone. Leave it out, and the days are those of UTC.",
}
NOT_CHOSEN = "The analyses that were ticked could not be told apart. Go back and tick them again."

Choice = TypeVar("Choice", bound=StrEnum)
Sent = MultiDict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """What somebody wants to see of their history.

    Attributes:
        form: What they gave, with a message for each thing that cannot be; where there is one,
            the rest means nothing.
        place: Where the page begins; None for the first one.
        number: Of the page, as its address says; None where it does not.
    """

    form: Form
    wanted: HistoryFilter
    order: HistoryOrder
    place: Place | None
    number: int | None

    @property
    def arguments(self) -> dict[str, str]:
        """The filters and the order, as an address holds them."""
        given = {name: self.form[name] for name in FILTERS if self.form[name]}
        if given.get("sort") == HistoryOrder.NEWEST.value:
            del given["sort"]
        if "from" not in given and "until" not in given:
            given.pop("zone", None)
        return given

    @property
    def is_filtered(self) -> bool:
        """Whether it asks for less than everything, as an order by score does."""
        return self.order.is_by_score or bool(self.arguments.keys() - {"sort"})

    @property
    def is_by_study(self) -> bool:
        """Whether a study is one line: where nothing is asked that each slice answers itself."""
        asked = self.wanted.words or self.wanted.tag or self.wanted.outcome
        return not asked and not self.order.is_by_score


def read_query(sent: Sent) -> HistoryQuery:
    """Read the filters, the order and the place from an address; what cannot be is refused."""
    form = Form(dict.fromkeys([*FILTERS, *PLACES, "page"], ""), sent)
    modality = form["modality"] or None
    if modality and modality not in modalities():
        form.refuse("modality", NO_SUCH["modality"])
    order = _choice(form, "sort", HistoryOrder) or HistoryOrder.NEWEST
    since, until = _days(form)
    wanted = HistoryFilter(
        modality=modality,
        outcome=_choice(form, "result", Outcome),
        since=since,
        until=until,
        words=_words(form),
        tag=_tag(form),
        is_scored=order.is_by_score,
    )
    return HistoryQuery(
        form=form,
        wanted=wanted,
        order=order,
        place=_place(form, order),
        number=int(form["page"]) if form["page"].isdecimal() and len(form["page"]) < 9 else None,
    )


def read_ids(sent: Sent, name: str = "id") -> frozenset[UUID]:
    """Return the analyses that were ticked, or what else goes by another name.

    Raises:
        ValueError: One of them is no id, or there are more than a page can hold; the message is
            for the person.
    """
    given = sent.getlist(name)
    if len(given) > MAX_IDS:
        raise ValueError(NOT_CHOSEN)
    try:
        return frozenset(UUID(text) for text in given)
    except ValueError:
        raise ValueError(NOT_CHOSEN) from None


def place_arguments(place: Place) -> dict[str, str]:
    """Return a place as an address holds it; ``read_query`` reads it."""
    key = place.at.key
    text = repr(key) if isinstance(key, float) else key.astimezone(UTC).isoformat()
    return {"after" if place.is_after else "before": f"{text}_{place.at.analysis_id.hex}"}


def _choice(form: Form, name: str, choices: type[Choice]) -> Choice | None:
    if not form[name]:
        return None
    try:
        return choices(form[name])
    except ValueError:
        form.refuse(name, NO_SUCH[name])
        return None


def _words(form: Form) -> tuple[str, ...]:
    text = form["q"]
    is_endless = len(text) > MAX_TEXT_CHARACTERS  # what that takes apart is not bounded in time
    words = () if is_endless else sought_words(text)
    if is_endless or len(words) > MAX_WORDS:
        form.refuse("q", f"Look for at most {MAX_WORDS} words at once.")
    elif text and not words:
        form.refuse("q", "Look for words or numbers, not for signs alone.")
    return words


def _tag(form: Form) -> str:
    try:
        return checked_tag(form["tag"])
    except TagTooLongError as error:
        form.refuse("tag", str(error))
        return ""


# --- days in the viewer's zone --------------------------------------------------------------


def _days(form: Form) -> tuple[datetime | None, datetime | None]:
    """Return the moments at which the first day begins and the last one has ended."""
    zone = _zone(form)
    first, last = (_day(form, name) for name in ("from", "until"))
    if first and last and first > last:
        form.refuse("until", "The last day is before the first. Swap them.")
    return (
        _midnight(first, zone) if first else None,
        _midnight(last + DAY, zone) if last else None,
    )


def _day(form: Form, name: str) -> date | None:
    if not form[name]:
        return None
    try:
        day = date.fromisoformat(form[name])
    except ValueError:
        form.refuse(name, NO_SUCH[name])
        return None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        form.refuse(name, NO_SUCH[name])
        return None
    return day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _zone(form: Form) -> ZoneInfo:
    name = form["zone"] or "UTC"
    # Only a name of the list is looked up: it would else become part of a path.
    if name in _zones():
        return ZoneInfo(name)
    form.refuse("zone", NO_SUCH["zone"])
    return ZoneInfo("UTC")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


# --- the place of a page --------------------------------------------------------------------


def _place(form: Form, order: HistoryOrder) -> Place | None:
    read_key = _score if order.is_by_score else read_moment
    for name in PLACES:
        if form[name]:
            try:
                return Place(_place_in(form[name], read_key), is_after=name == "after")
            except ValueError:
                form.refuse("", LOST)
    return None


def _place_in(text: str, read_key: Callable[[str], datetime | float]) -> HistoryPlace:
    key, _, analysis_id = text.partition("_")
    return HistoryPlace(read_key(key), UUID(analysis_id))


def _score(text: str) -> float:
    score = float(text)
    if not 0 <= score <= 1:  # which not a number is not, either
        raise ValueError(LOST)
    return score


def read_moment(text: str) -> datetime:
    """Return a moment of an address, which is one in every zone.

    Raises:
        ValueError: It is none, or without a zone; the message is for the person.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(LOST)
    return moment


def without(arguments: Mapping[str, str], *names: str) -> dict[str, str]:
    """Return the arguments of an address less some of them."""
    return {name: value for name, value in arguments.items() if name not in names}
