"""The audit trail, in the SQL database: events are added one after the other and never changed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from app.records import AuditEvent, EventFilter
from app.storage.database import METADATA, Database, UtcDateTime

POSTGRESQL_LOCK = 0x56455241554454  # any number, the same in every process
ROWS_AT_ONCE = 1000

AUDIT_EVENTS = sa.Table(
    "audit_events",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor_id", sa.Uuid),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    # Text rather than JSON: what was hashed is what is kept, byte by byte.
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("audit_by_actor", "actor_id", "sequence"),
    sa.Index("audit_by_action", "action", "sequence"),
    sa.Index("audit_by_subject", "subject", "sequence"),
    sa.Index("audit_by_time", "at"),
)

REFUSAL = "audit events are never changed or removed"
_SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER audit_no_{act.lower()} BEFORE {act} ON audit_events "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for act in ("UPDATE", "DELETE")
)
_POSTGRESQL_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
)
for _dialect, _triggers in (("sqlite", _SQLITE_TRIGGERS), ("postgresql", _POSTGRESQL_TRIGGERS)):
    for _trigger in _triggers:
        _ddl = sa.DDL(_trigger)  # type: ignore[no-untyped-call]  # it has no types
        sa.event.listen(AUDIT_EVENTS, "after_create", _ddl.execute_if(dialect=_dialect))


class AuditStore:
    """Keeps the events; the tables' triggers refuse to change or remove one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, next_event: Callable[[AuditEvent | None], AuditEvent]) -> AuditEvent:
        """Keep the event that follows the last one; nobody else appends in between.

        Args:
            next_event: Makes it, given the last event, or None where there is none.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                # SQLite has but one writer anyway.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRESQL_LOCK)))
            event = next_event(_last(connection))
            connection.execute(AUDIT_EVENTS.insert(), _row_of(event))
        return event

    def last(self) -> AuditEvent | None:
        """Return the newest event, or None."""
        with self._database.reading() as connection:
            return _last(connection)

    def find(self, sequence: int) -> AuditEvent | None:
        """Return the event of this number, or None."""
        statement = sa.select(AUDIT_EVENTS).where(AUDIT_EVENTS.c.sequence == sequence)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _event_of(row)

    def page(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[AuditEvent]:
        """Return the newest events that are wanted, newest first.

        It seeks by number, so that a page costs the same however many came after it.

        Args:
            wanted: Which ones.
            limit: At most so many.
            before: Only those with a smaller number.
        """
        statement = sa.select(AUDIT_EVENTS).where(*_conditions(wanted))
        if before is not None:
            statement = statement.where(AUDIT_EVENTS.c.sequence < before)
        statement = statement.order_by(AUDIT_EVENTS.c.sequence.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_event_of(row) for row in connection.execute(statement).mappings()]

    def each(self, wanted: EventFilter | None = None) -> Iterator[AuditEvent]:
        """Yield the events that are wanted, oldest first, without holding all of them."""
        conditions = _conditions(wanted or EventFilter())
        after = -1
        while True:
            statement = (
                sa.select(AUDIT_EVENTS)
                .where(*conditions, AUDIT_EVENTS.c.sequence > after)
                .order_by(AUDIT_EVENTS.c.sequence)
                .limit(ROWS_AT_ONCE)
            )
            with self._database.reading() as connection:
                rows = connection.execute(statement).mappings().all()
            for row in rows:
                yield _event_of(row)
            if len(rows) < ROWS_AT_ONCE:
                return
            after = rows[-1]["sequence"]


def details_text(details: Any) -> str:
    """Return details in the one form in which they are hashed and kept."""
    return json.dumps(details, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _last(connection: sa.Connection) -> AuditEvent | None:
    statement = sa.select(AUDIT_EVENTS).order_by(AUDIT_EVENTS.c.sequence.desc()).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _event_of(row)


def _row_of(event: AuditEvent) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": event.at,
        "actor_id": event.actor_id,
        "action": event.action,
        "subject": event.subject,
        "address": event.address,
        "details": event.details,
        "hash": event.hash,
    }


def _event_of(row: sa.RowMapping) -> AuditEvent:
    return AuditEvent(**{column.name: row[column.name] for column in AUDIT_EVENTS.columns})


def _conditions(wanted: EventFilter) -> list[sa.ColumnElement[bool]]:
    """Return what a row has to fulfil."""
    columns = AUDIT_EVENTS.c
    found: list[sa.ColumnElement[bool]] = []
    if wanted.actor_id is not None:
        found.append(columns.actor_id == wanted.actor_id)
    if wanted.action.endswith("."):
        found.append(columns.action.startswith(wanted.action, autoescape=True))
    elif wanted.action:
        found.append(columns.action == wanted.action)
    if wanted.subject:
        found.append(columns.subject == wanted.subject)
    if wanted.since is not None:
        found.append(columns.at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.at < wanted.until)
    return found
