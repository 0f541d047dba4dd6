"""The history: one's own analyses filtered and sorted, exported, and deleted in numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from app.detection.spec import modalities
from app.records import HistoryFilter, HistoryOrder, Outcome
from app.services.analyses.history import MOST_COUNTED, Place, Sheet
from app.services.analyses.history_export import csv_pieces, json_pieces
from app.web.context import services, viewer
from app.web.filters import plain_day
from app.web.guards import signed_in
from app.web.history.query import (
    HistoryQuery,
    place_arguments,
    read_ids,
    read_moment,
    read_query,
    without,
)
from app.web.history.rows import rows_of_history
from app.web.offers import title_of
from app.web.wording import OUTCOMES

PER_PAGE = 25
DELETING_PATIENCE_S = 10.0
ORDERS = {
    HistoryOrder.NEWEST: "newest first",
    HistoryOrder.OLDEST: "oldest first",
    HistoryOrder.HIGHEST: "most suspicious first",
    HistoryOrder.LOWEST: "least suspicious first",
}
FORMATS = {
    "csv": (csv_pieces, "text/csv"),
    "json": (json_pieces, "application/json"),
}

bp = Blueprint("history", __name__, url_prefix="/analyses")


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that holds.

    Attributes:
        without: Address of the same history without it.
    """

    label: str
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which analyses an act is meant for.

    Attributes:
        arguments: The same, as an address or a form holds it.
    """

    wanted: HistoryFilter
    arguments: Sequence[tuple[str, str]]
    is_nothing: bool
    query: HistoryQuery


# --- looking --------------------------------------------------------------------------------


def history_page() -> ResponseReturnValue:
    """Show the page of the viewer's history that the address asks for."""
    query = read_query(request.args)
    if query.form.errors:
        return _page(query, None), 422
    wanted = replace(query.wanted, is_by_study=query.is_by_study)
    sheet = services().history.sheet(
        viewer(), wanted, query.order, place=query.place, size=PER_PAGE
    )
    return _page(query, sheet)


def _page(query: HistoryQuery, sheet: Sheet | None) -> str:
    lines = sheet.lines if sheet else ()
    number = query.number if sheet and sheet.before else 1
    return render_template(
        "analyses/history.html",
        form=query.form,
        query=query,
        sheet=sheet,
        rows=rows_of_history(lines),
        chips=_chips(query),
        orders=ORDERS,
        choices=_choices(),
        tags=services().history.tags(viewer()),
        number=number,
        pages=-(-sheet.total_lines // PER_PAGE) if sheet and sheet.total_lines else None,
        most_counted=MOST_COUNTED,
        before=_address(query, sheet.before, number and number - 1) if sheet else None,
        after=_address(query, sheet.after, number and number + 1) if sheet else None,
        is_waiting=any(not line.is_final for line in lines),
    )


def _choices() -> dict[str, list[tuple[str, str]]]:
    """Return what can be chosen in each list of the filters, as value and label."""
    return {
        "modality": [(spec.key, spec.title) for spec in modalities().values()],
        "result": [(outcome.value, badge.label) for outcome, badge in OUTCOMES.items()],
        "sort": [
            # The usual order is left out of the address.
            ("" if order is HistoryOrder.NEWEST else order.value, words.capitalize())
            for order, words in ORDERS.items()
        ],
    }


def _address(query: HistoryQuery, place: Place | None, number: int | None) -> str | None:
    if place is None:
        return None
    page = {"page": number} if number and number > 0 else {}
    return _history_url({**query.arguments, **place_arguments(place), **page})


def _history_url(arguments: Mapping[str, Any]) -> str:
    return url_for("analyses.history", **arguments)


def _chips(query: HistoryQuery) -> list[Chip]:
    if query.form.errors:
        return []
    given = query.arguments
    words: dict[str, Callable[[str], str]] = {
        "q": lambda text: f"“{text}”",
        "modality": title_of,
        "result": lambda key: OUTCOMES[Outcome(key)].label,
        "from": lambda day: f"From {_day_words(day)}",
        "until": lambda day: f"Until {_day_words(day)}",
        "tag": lambda tag: f"Tag: {tag}",
    }
    found = [
        Chip(words[name](given[name]), _history_url(without(given, name)))
        for name in words
        if name in given
    ]
    if query.order.is_by_score:
        found.append(Chip("With a score", _history_url(without(given, "sort"))))
    return found


def _day_words(day: str) -> str:
    return plain_day(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC))


# --- acting on many -------------------------------------------------------------------------


@bp.get("/export")
@signed_in
def export() -> ResponseReturnValue:
    """Return what was ticked, or all that the filters leave, as a file."""
    file_format = request.args.get("format", "")
    if file_format not in FORMATS:
        abort(400, "Choose CSV or JSON for the export.")
    chosen = _chosen()
    if chosen.query.form.errors:
        return _page(chosen.query, None), 422
    pieces, mimetype = FORMATS[file_format]
    lines = services().history.each(
        viewer(), chosen.wanted, chosen.query.order, file_format=file_format
    )
    name = f"veriscan-history-{datetime.now(UTC):%Y-%m-%d}.{file_format}"
    return Response(
        pieces(lines),
        mimetype=mimetype,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@bp.get("/delete")
@signed_in
def confirm_delete() -> ResponseReturnValue:
    """Ask whether the ticked analyses, or all that the filters leave, are to be deleted."""
    chosen = _chosen()
    if chosen.query.form.errors:
        return _page(chosen.query, None), 422
    if chosen.is_nothing:
        flash("Nothing was deleted: tick the analyses first, or all that match.", "error")
        return redirect(_back(chosen), 303)
    return _confirm_page(chosen)


@bp.post("/delete")
@signed_in
def delete_many() -> ResponseReturnValue:
    """Delete them; where there are too many for one request, the rest is asked for again."""
    chosen = _chosen()
    if chosen.query.form.errors:
        return _page(chosen.query, None), 422
    if chosen.is_nothing or request.form.get("sure") != "yes":
        flash("Nothing was deleted: tick the box that says you are sure.", "error")
        return redirect(url_for("history.confirm_delete") + "?" + urlencode(chosen.arguments), 303)
    done = services().history.delete(viewer(), chosen.wanted, patience_s=DELETING_PATIENCE_S)
    what = (
        "One analysis and its scan are"
        if done.deleted == 1
        else (f"{done.deleted:,} analyses and their scans are")
    )
    if not done.left:
        flash(f"{what} deleted.", "done")
        return redirect(_back(chosen), 303)
    flash(f"{what} deleted so far. There were too many to delete at once.", "done")
    return redirect(url_for("history.confirm_delete") + "?" + urlencode(chosen.arguments), 303)


def _chosen() -> Chosen:
    """Read which analyses are meant: those that were ticked, or all that the filters leave.

    All of them are those that were there when the page was drawn; later ones stay out of it.
    """
    sent = request.values
    query = read_query(sent)
    try:
        ids, studies = read_ids(sent), read_ids(sent, "study")
        seen = read_moment(sent["seen"]) if "seen" in sent else datetime.now(UTC)
    except ValueError:
        query.form.refuse("", "It cannot be told which analyses are meant. Tick them again.")
        return Chosen(wanted=query.wanted, arguments=(), is_nothing=True, query=query)
    filters = list(query.arguments.items())
    if (ids or studies) and sent.get("all") != "yes":
        named = [("id", each) for each in sorted(ids)]
        named += [("study", each) for each in sorted(studies)]
        arguments = [*filters, *((name, str(each)) for name, each in named)]
        wanted = HistoryFilter(ids=ids, studies=studies)
        return Chosen(wanted=wanted, arguments=arguments, is_nothing=False, query=query)
    until = min(seen, query.wanted.until) if query.wanted.until else seen
    return Chosen(
        wanted=replace(query.wanted, until=until),
        arguments=[*filters, ("all", "yes"), ("seen", seen.isoformat())],
        is_nothing=sent.get("all") != "yes",
        query=query,
    )


def _confirm_page(chosen: Chosen) -> str:
    return render_template(
        "analyses/delete_many.html",
        count=services().history.count(viewer(), chosen.wanted),
        arguments=chosen.arguments,
        is_ticked=chosen.wanted.ids is not None,
        studies=len(chosen.wanted.studies or ()),
        chips=_chips(chosen.query),
        back=_back(chosen),
    )


def _back(chosen: Chosen) -> str:
    return _history_url(chosen.query.arguments)
