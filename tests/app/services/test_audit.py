"""The audit trail: it grows in order, refuses changes, and notices those made behind its back."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.errors import AuditTrailBrokenError, StorageError
from app.records import EventFilter
from app.services.audit import AuditService, client_address, hash_of
from app.storage.audit import AUDIT_EVENTS, AuditStore
from app.storage.database import FILE_NAME, Database, sqlite_url

KEY = "a secret key of more than thirty-two characters"
ROOT = Path(__file__).parents[3]
APPEND_MANY = f"""
import sys
from pathlib import Path
from app.services.audit import AuditService
from app.storage.audit import AuditStore
from app.storage.database import Database, sqlite_url
folder = Path(sys.argv[1])
audit = AuditService(AuditStore(Database(sqlite_url(folder))), folder, {KEY!r})
for number in range(15):
    audit.record("test.done", actor=None, writer=sys.argv[2], number=number)
"""


def service(folder: Path, key: str = KEY) -> AuditService:
    return AuditService(AuditStore(Database(sqlite_url(folder))), folder, key)


@pytest.fixture
def audit(tmp_path: Path) -> AuditService:
    """A trail of six events."""
    audit = service(tmp_path)
    for number in range(6):
        audit.record("test.done", actor=uuid4(), subject=f"thing {number}", number=number)
    return audit


def tamper(folder: Path, *statements: str) -> None:
    """Change the database as somebody with the file in their hands would: triggers first."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        for act in ("update", "delete"):
            connection.execute(f"DROP TRIGGER audit_no_{act}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# --- recording ------------------------------------------------------------------------------


def test_an_event_says_who_did_what_when_from_where(audit: AuditService) -> None:
    actor = uuid4()
    token = client_address.set("192.0.2.7")
    try:
        audit.record("account.signed_in", actor=actor, subject="x", way="password")
    finally:
        client_address.reset(token)

    (event,) = audit.page(EventFilter(), limit=1)

    assert (event.actor_id, event.action, event.subject) == (actor, "account.signed_in", "x")
    assert event.address == "192.0.2.7"
    assert json.loads(event.details) == {"way": "password"}
    assert datetime.now(UTC) - event.at < timedelta(minutes=1)
    assert event.sequence == 7


def test_a_trail_that_nobody_touched_is_whole(audit: AuditService) -> None:
    result = audit.verify()

    assert result.is_whole
    assert result.events == 6
    assert result.head == audit.page(EventFilter(), limit=1)[0].hash


def test_an_empty_trail_is_whole(tmp_path: Path) -> None:
    assert service(tmp_path).verify().is_whole


def test_the_hash_covers_every_field_that_is_kept(audit: AuditService, tmp_path: Path) -> None:
    columns = {column.name for column in AUDIT_EVENTS.columns} - {"sequence", "hash"}
    changes = {
        "at": "'2020-01-01 00:00:00.000000'",
        "actor_id": f"'{uuid4().hex}'",
        "action": "'test.other'",
        "subject": "'other'",
        "address": "'192.0.2.99'",
        "details": "'{}'",
    }
    assert set(changes) == columns
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        before = connection.execute("SELECT * FROM audit_events WHERE sequence = 3").fetchone()
        names = [column.name for column in AUDIT_EVENTS.columns]
    tamper(tmp_path)

    for name, value in changes.items():
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            connection.execute(f"UPDATE audit_events SET {name} = {value} WHERE sequence = 3")
            connection.commit()
            assert audit.verify().problems == ("Event 3 was changed after it was written.",), name
            old = before[names.index(name)]
            connection.execute(f"UPDATE audit_events SET {name} = ? WHERE sequence = 3", (old,))
            connection.commit()
    assert audit.verify().is_whole


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_events SET subject = 'x' WHERE sequence = 2", "DELETE FROM audit_events"],
)
def test_the_database_refuses_to_change_an_event(
    audit: AuditService, tmp_path: Path, statement: str
) -> None:
    with (
        closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never changed or removed"),
    ):
        connection.execute(statement)
    assert audit.verify().is_whole


def test_details_that_are_no_number_are_refused(audit: AuditService) -> None:
    with pytest.raises(ValueError, match="JSON"):
        audit.record("test.done", actor=None, share=float("nan"))
    assert audit.verify().is_whole


# --- what was done behind its back ----------------------------------------------------------


def test_an_edited_row_is_noticed(audit: AuditService, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE audit_events SET subject = 'nothing' WHERE sequence = 4")

    assert audit.verify().problems == ("Event 4 was changed after it was written.",)


def test_a_row_edited_with_its_own_hash_breaks_the_next(
    audit: AuditService, tmp_path: Path
) -> None:
    tamper(tmp_path, f"UPDATE audit_events SET hash = '{'a' * 64}' WHERE sequence = 4")

    assert audit.verify().problems == (
        "Event 4 was changed after it was written.",
        "Event 5 was changed after it was written.",
    )


@pytest.mark.parametrize(
    ("which", "problem"),
    [
        ("= 3", "Event 3 is missing."),
        ("IN (2, 3)", "Events 2 to 3 are missing."),
        ("= 1", "Event 1 is missing."),
        ("= 6", "Event 6 is missing."),
        (">= 4", "Events 4 to 6 are missing."),
        (">= 1", "Events 1 to 6 are missing."),
    ],
)
def test_deleted_rows_and_a_cut_tail_are_noticed(
    audit: AuditService, tmp_path: Path, which: str, problem: str
) -> None:
    tamper(tmp_path, f"DELETE FROM audit_events WHERE sequence {which}")

    assert audit.verify().problems == (problem,)


def test_a_cut_tail_stays_noticed_when_more_is_recorded(
    audit: AuditService, tmp_path: Path
) -> None:
    tamper(tmp_path, "DELETE FROM audit_events WHERE sequence >= 5")

    audit.record("test.done", actor=None)

    assert audit.verify().problems == ("Events 5 to 6 are missing.",)


def test_a_cut_tail_whose_anchor_was_removed_stays_noticed(
    audit: AuditService, tmp_path: Path
) -> None:
    tamper(tmp_path, "DELETE FROM audit_events WHERE sequence >= 5")
    (tmp_path / "audit_anchor.json").unlink()
    assert "anchor of the trail is missing" in audit.verify().problems[0]

    audit.record("test.done", actor=None)

    (problem,) = audit.verify().problems
    assert "Before event 5 the anchor of the trail was lost" in problem


def test_an_anchor_that_somebody_else_sealed_is_refused(
    audit: AuditService, tmp_path: Path
) -> None:
    path = tmp_path / "audit_anchor.json"
    anchor = json.loads(path.read_text())
    path.write_text(json.dumps(anchor | {"sequence": 4}))

    assert "damaged, or was sealed with another secret key" in audit.verify().problems[0]


def test_a_trail_rewritten_from_the_start_does_not_fit_its_anchor(
    audit: AuditService, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever has the database but not the key can compute every hash, but not the seal."""
    forged_folder = tmp_path_factory.mktemp("forged")
    forged = service(forged_folder)
    for _ in range(6):
        forged.record("test.done", actor=None, subject="nothing happened")
    (forged_folder / "audit_anchor.json").write_bytes((tmp_path / "audit_anchor.json").read_bytes())

    assert forged.verify().problems == ("Event 6 is not the one that was anchored.",)


def test_a_crash_between_the_event_and_its_anchor_is_no_tampering(
    audit: AuditService, tmp_path: Path
) -> None:
    path = tmp_path / "audit_anchor.json"
    before = path.read_bytes()
    audit.record("test.done", actor=None)
    path.write_bytes(before)

    assert audit.verify().is_whole
    audit.record("test.done", actor=None)
    assert audit.verify().is_whole


def test_nothing_is_recorded_where_the_anchor_cannot_be_read(
    audit: AuditService, tmp_path: Path
) -> None:
    path = tmp_path / "audit_anchor.json"
    path.unlink()
    path.mkdir()

    with pytest.raises(StorageError, match=r"audit_anchor\.json"):
        audit.record("test.done", actor=None)
    assert audit.count() == 6


# --- a changed secret key -------------------------------------------------------------------

OTHER_KEY = "another secret key of more than thirty-two characters"


def test_a_trail_is_anchored_anew_after_the_key_was_changed(
    audit: AuditService, tmp_path: Path
) -> None:
    audit = service(tmp_path, OTHER_KEY)
    assert "sealed with another secret key" in audit.verify().problems[0]

    assert audit.reanchor() == 6

    assert audit.verify().is_whole
    actions = [event.action for event in audit.page(EventFilter(), limit=2)]
    assert actions == ["audit.reanchored", "audit.anchor_lost"]
    audit.record("test.done", actor=None)
    assert service(tmp_path, OTHER_KEY).verify().is_whole


def test_what_was_recorded_with_the_new_key_first_does_not_hinder(
    audit: AuditService, tmp_path: Path
) -> None:
    audit = service(tmp_path, OTHER_KEY)
    audit.record("test.done", actor=None)
    assert "Before event 7 the anchor of the trail was lost" in audit.verify().problems[0]

    assert audit.reanchor() == 8

    assert audit.verify().is_whole
    assert audit.reanchor() == 0
    assert audit.count() == 9


def test_a_broken_trail_is_not_anchored_anew(audit: AuditService, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE audit_events SET subject = 'nothing' WHERE sequence = 4")
    audit = service(tmp_path, OTHER_KEY)

    with pytest.raises(AuditTrailBrokenError, match="Event 4 was changed after it was written"):
        audit.reanchor()

    assert audit.count() == 6


def test_only_the_holder_of_the_key_settles_a_lost_anchor(
    audit: AuditService, tmp_path: Path
) -> None:
    """The seal of an anchor, which anybody with the data folder can read, is not enough."""
    path = tmp_path / "audit_anchor.json"
    path.unlink()
    audit.record("test.done", actor=None)
    (last,) = audit.page(EventFilter(), limit=1)
    seal = json.loads(path.read_text())["seal"]
    forged = replace(
        last, sequence=9, action="audit.reanchored", details=json.dumps({"seal": seal})
    )

    AuditStore(Database(sqlite_url(tmp_path))).append(
        lambda _: replace(forged, hash=hash_of(forged, last.hash))
    )

    assert "Before event 7 the anchor of the trail was lost" in audit.verify().problems[0]


# --- many at once ---------------------------------------------------------------------------


def test_two_processes_and_many_threads_do_not_fork_the_chain(tmp_path: Path) -> None:
    audit = service(tmp_path)
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(tmp_path), name], cwd=ROOT)
        for name in ("one", "two")
    ]
    with ThreadPoolExecutor(4) as pool:
        for number in range(15):
            pool.submit(audit.record, "test.done", actor=None, writer="threads", number=number)
    assert [process.wait(60) for process in processes] == [0, 0]

    result = audit.verify()

    assert result.problems == ()
    assert result.events == 45
    writers = [json.loads(event.details)["writer"] for event in audit.each(EventFilter())]
    assert {name: writers.count(name) for name in set(writers)} == dict.fromkeys(
        ("one", "two", "threads"), 15
    )


# --- finding events -------------------------------------------------------------------------


def test_pages_are_newest_first_and_go_on_where_the_last_ended(audit: AuditService) -> None:
    first = audit.page(EventFilter(), limit=4)
    second = audit.page(EventFilter(), limit=4, before=first[-1].sequence)

    assert [event.sequence for event in (*first, *second)] == [6, 5, 4, 3, 2, 1]


def test_events_are_found_by_who_what_and_when(audit: AuditService) -> None:
    actor, now = uuid4(), datetime.now(UTC)
    audit.record("account.signed_in", actor=actor, subject="x")
    audit.record("account_x.signed_in", actor=None)

    def found(**wanted: object) -> list[int]:
        return [e.sequence for e in audit.page(EventFilter(**wanted), limit=9)]  # type: ignore[arg-type]  # by name

    assert found(actor_id=actor) == [7]
    assert found(action="account.") == [7]
    assert found(action="account.signed_in") == [7]
    assert found(subject="thing 2") == [3]
    assert found(until=now - timedelta(days=1)) == []
    assert len(found(since=now - timedelta(days=1))) == 8
