"""The audit trail: filtered, paged, checked and exported."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.records import AuditEvent, EventFilter
from app.services.spreadsheets import defused
from app.web.admin.audit_rows import ACTIONS, GROUPS, rows_of
from app.web.admin.blueprint import bp
from app.web.context import services, viewer
from app.web.guards import admin_only

PER_PAGE = 50
NOBODY = UUID(int=0)
SHOWN_PROBLEMS = 5
COLUMNS = ("sequence", "at", "actor_id", "action", "subject", "address", "details", "hash")
LINES_A_PIECE = 500
MAX_SEQUENCE = 2**63 - 1  # of which a database knows no larger number


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """What an administrator typed to find events."""

    action: str
    who: str
    subject: str
    since: str
    until: str

    @property
    def kept(self) -> dict[str, str]:
        """What has to stand in the address for the same events."""
        found = {
            "action": self.action,
            "who": self.who,
            "subject": self.subject,
            "since": self.since,
            "until": self.until,
        }
        return {name: value for name, value in found.items() if value}

    def as_filter(self) -> EventFilter:
        """Return what to look for; a person who does not exist has done nothing."""
        until = _day(self.until)
        return EventFilter(
            actor_id=_actor(self.who),
            action=self.action,
            subject=self.subject,
            since=_day(self.since),
            until=until + timedelta(days=1) if until else None,
        )


@bp.get("/audit")
@admin_only
def audit() -> ResponseReturnValue:
    """Show the events that are looked for, newest first."""
    query = _query()
    before = request.args.get("before", type=_sequence)
    found = services().audit.page(query.as_filter(), limit=PER_PAGE + 1, before=before)
    shown = found[:PER_PAGE]
    return render_template(
        "admin/audit.html",
        rows=rows_of(shown),
        query=query,
        before=before,
        older=shown[-1].sequence if len(found) > PER_PAGE else None,
        total=services().audit.count(),
        actions=ACTIONS,
        groups=GROUPS,
    )


@bp.post("/audit/verify")
@admin_only
def verify_audit() -> ResponseReturnValue:
    """Check the whole trail."""
    result = services().audit.verify()
    services().audit.record("audit.verified", actor=viewer().id, whole=result.is_whole)
    if result.is_whole:
        flash(
            f"The trail is whole: {result.events} events, none of them changed or missing. "
            f"The newest has the hash {result.head}",
            "done",
        )
    else:
        more = len(result.problems) - SHOWN_PROBLEMS
        words = [*result.problems[:SHOWN_PROBLEMS], *([f"And {more} more."] if more > 0 else [])]
        flash("The trail was tampered with. " + " ".join(words), "error")
    return redirect(url_for("admin.audit"), 303)


@bp.get("/audit/export")
@admin_only
def export_audit() -> ResponseReturnValue:
    """Send the events that are looked for as CSV or JSON, oldest first, piece by piece."""
    query = _query()
    kind = "json" if request.args.get("format") == "json" else "csv"
    events = services().audit.each(query.as_filter())
    services().audit.record("audit.exported", actor=viewer().id, format=kind)
    lines = _json_lines(events) if kind == "json" else _csv_lines(events)
    name = f"veriscan-audit-{datetime.now(UTC):%Y-%m-%d}.{kind}"
    return Response(
        lines,
        mimetype="application/json" if kind == "json" else "text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _csv_lines(events: Iterator[AuditEvent]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for number, event in enumerate(events, 1):
        writer.writerow(defused(str(value)) for value in _values(event).values())
        if number % LINES_A_PIECE == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _json_lines(events: Iterator[AuditEvent]) -> Iterator[str]:
    separator = "[\n"
    for event in events:
        values = _values(event) | {"details": json.loads(event.details)}
        yield separator + json.dumps(values)
        separator = ",\n"
    yield "\n]\n" if separator != "[\n" else "[]\n"


def _values(event: AuditEvent) -> dict[str, object]:
    return {
        "sequence": event.sequence,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor_id": str(event.actor_id or ""),
        "action": event.action,
        "subject": event.subject,
        "address": event.address,
        "details": event.details,
        "hash": event.hash,
    }


def _query() -> AuditQuery:
    args = request.args
    action = args.get("action", "")
    return AuditQuery(
        action=action if action in ACTIONS or action in GROUPS else "",
        who=args.get("who", "").strip(),
        subject=args.get("subject", "").strip(),
        since=args.get("since", "") if _day(args.get("since", "")) else "",
        until=args.get("until", "") if _day(args.get("until", "")) else "",
    )


def _sequence(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_SEQUENCE:
        raise ValueError(text)
    return number


def _actor(who: str) -> UUID | None:
    if not who:
        return None
    try:
        return UUID(who)
    except ValueError:
        found = services().administration.directory.named(who)
        return found.id if found else NOBODY


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
        _ = day + timedelta(days=1)  # the very last day there is has no end
    except (ValueError, OverflowError):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
