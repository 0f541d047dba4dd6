"""The audit trail: what happened, so that nobody can change the tale afterwards unnoticed.

Each event carries a hash over itself and the hash of the one before, so that an event that is
edited or taken out breaks the chain. A chain whose end is cut off is whole, so the newest hash
lies in a file beside the database as well, sealed with a key: the anchor.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from app.errors import AnchorInvalidError, AuditTrailBrokenError
from app.records import AuditEvent, EventFilter
from app.storage.audit import AuditStore, details_text
from app.storage.audit_anchor import AnchorFile
from app.storage.files import ProcessLock

START = "0" * 64  # what stands for the hash before the first event
MAX_SUBJECT_CHARACTERS = 200
MAX_ADDRESS_CHARACTERS = 64
ANCHOR_LOST = "audit.anchor_lost"
REANCHORED = "audit.reanchored"
HASH_VERSION = 1

client_address: ContextVar[str] = ContextVar("client_address", default="")
"""Network address for which the present work is done; set by whoever talks to the client."""
acting_token: ContextVar[str] = ContextVar("acting_token", default="")
"""Name of the API token by which the present work was asked for; empty where it was not by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of the whole trail found.

    Attributes:
        events: How many there are.
        problems: A sentence for each thing that is wrong; none, if nobody touched the trail.
        head: Hash of the newest event, empty if there is none. Noted outside of this server, it
            shows later that nothing before it was changed.
    """

    events: int
    problems: tuple[str, ...]
    head: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Walk:
    """What was seen on the way from the first event to the last.

    Attributes:
        lost: Numbers of the events that tell of a lost anchor and were not settled since.
    """

    events: int = 0
    head: str = ""
    problems: list[str] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


class AuditService:
    """Records events and checks them.

    An act that cannot be recorded fails: the caller gets the error.

    Args:
        store: Where the events are.
        data_dir: Folder of the anchor.
        secret_key: What the anchor's seal is derived from.
    """

    def __init__(self, store: AuditStore, data_dir: Path, secret_key: str) -> None:
        self._store = store
        self._anchor = AnchorFile(data_dir, secret_key)
        self._lock = ProcessLock(data_dir / "audit.lock")

    def record(
        self,
        action: str,
        *,
        actor: UUID | None,
        subject: str = "",
        **details: str | float | bool,
    ) -> None:
        """Append an event.

        Args:
            action: What was done, such as ``analysis.viewed``.
            actor: Who did it, if that is known.
            subject: Id of what it was done to.
            details: What else is to be known: neither secrets nor names nor patient data.

        Raises:
            StorageError: It could not be kept.
        """
        if token := acting_token.get():  # in its owner's own words
            details["token"] = token
        event = replace(
            _new_event(action),
            actor_id=actor,
            subject=subject[:MAX_SUBJECT_CHARACTERS],
            details=details_text(details),
        )
        with self._lock:  # the anchor moves in the order of the events
            self._append(event)

    def reanchor(self) -> int:
        """Anchor the trail anew, after the secret key was changed on purpose.

        That the former anchor was lost is no problem from then on; it stays in the trail, and so
        does this act. Nobody can record while the trail is checked.

        Returns:
            How many events are right; 0 where there is nothing to do, since the anchor fits.

        Raises:
            AuditTrailBrokenError: Events were changed or are missing; nothing is done.
            StorageError: The database or the anchor failed.
        """
        with self._lock:
            anchor = self._readable_anchor()
            walk = self._walk(self.count(), anchor)
            if walk.problems:
                raise AuditTrailBrokenError(walk.problems[0])
            if walk.events == 0 or (anchor is not None and not walk.lost):
                return 0
            self._append(_new_event(REANCHORED), settles=True)
        return walk.events

    def _readable_anchor(self) -> tuple[int, str] | None:
        try:
            return self._anchor.read()
        except AnchorInvalidError:
            return None

    def _append(self, event: AuditEvent, *, settles: bool = False) -> None:
        anchor = self._readable_anchor()
        if anchor is None and self._store.last() is not None:
            # A new anchor would hide that the old one is gone: the trail itself has to tell.
            notice = replace(event, action=ANCHOR_LOST, actor_id=None, subject="", details="{}")
            self._store.append(lambda last: _after(last, None, notice))
        kept = self._store.append(
            lambda last: _after(last, anchor, self._settling(last, event) if settles else event)
        )
        self._anchor.write((kept.sequence, kept.hash))

    def _settling(self, last: AuditEvent | None, event: AuditEvent) -> AuditEvent:
        """Return an event that says, under the key, that all up to the last one is right."""
        seal = self._anchor.settlement((last.sequence, last.hash)) if last else ""
        return replace(event, details=details_text({"seal": seal}))

    def _settles(self, event: AuditEvent, before: AuditEvent | None) -> bool:
        return (
            event.action == REANCHORED
            and before is not None
            and event.details == self._settling(before, event).details
        )

    def paused(self) -> AbstractContextManager[object]:
        """Return a lock under which nobody on this host records, so that trail and anchor agree."""
        return self._lock

    # --- reading it -------------------------------------------------------------------------

    def page(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[AuditEvent]:
        """Return the newest events that are wanted, newest first, below the number ``before``."""
        return self._store.page(wanted, limit=limit, before=before)

    def each(self, wanted: EventFilter) -> Iterator[AuditEvent]:
        """Yield the events that are wanted, oldest first, without holding all of them."""
        return self._store.each(wanted)

    def count(self) -> int:
        """Return how many events there are: the number of the last one."""
        last = self._store.last()
        return last.sequence if last else 0

    def verify(self) -> Verification:
        """Walk over the whole trail and tell what does not fit.

        Raises:
            StorageError: The database cannot be read.
        """
        anchor, problems = None, []
        with self._lock:  # of this host's writers; they go on while the events are read
            try:
                anchor = self._anchor.read()
            except AnchorInvalidError as error:
                problems.append(str(error))
            end = self.count()
        return self._verified(end, anchor, problems)

    def _verified(
        self, end: int, anchor: tuple[int, str] | None, problems: list[str]
    ) -> Verification:
        walk = self._walk(end, anchor)
        problems += walk.problems
        problems += (
            f"Before event {number} the anchor of the trail was lost or replaced, so events may "
            "have been cut off there."
            for number in walk.lost
        )
        if walk.events and anchor is None and not problems:
            problems.append("The anchor of the trail is missing, so its end may have been cut off.")
        return Verification(events=walk.events, problems=tuple(problems), head=walk.head)

    def _walk(self, end: int, anchor: tuple[int, str] | None) -> "_Walk":
        """Look at each event up to a number, and at how it follows the one before."""
        walk, before = _Walk(), None
        for event in self._store.each():
            if event.sequence > end:
                break
            walk.problems.extend(_problems_between(before, event))
            if anchor is not None and event.sequence == anchor[0] and event.hash != anchor[1]:
                walk.problems.append(f"Event {event.sequence} is not the one that was anchored.")
            if event.action == ANCHOR_LOST:
                walk.lost.append(event.sequence)
            elif self._settles(event, before):
                walk.lost.clear()
            before, walk.events, walk.head = event, walk.events + 1, event.hash
        last = before.sequence if before else 0
        if anchor is not None and anchor[0] > last:
            walk.problems.append(_missing(last + 1, anchor[0]))
        return walk


def _new_event(action: str) -> AuditEvent:
    """Return an event of now, from where the present work was asked for."""
    return AuditEvent(
        sequence=0,
        at=datetime.now(UTC),
        actor_id=None,
        action=action,
        subject="",
        address=client_address.get()[:MAX_ADDRESS_CHARACTERS],
        details="{}",
        hash="",
    )


def hash_of(event: AuditEvent, previous: str) -> str:
    """Return the hash of an event, hex, given that of the one before."""
    fields = [
        HASH_VERSION,
        previous,
        event.sequence,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        str(event.actor_id or ""),
        event.action,
        event.subject,
        event.address,
        event.details,
    ]
    return sha256(details_text(fields).encode()).hexdigest()


def _after(
    last: AuditEvent | None, anchor: tuple[int, str] | None, event: AuditEvent
) -> AuditEvent:
    """Return an event as the one that follows the last, or the anchor if that is further.

    After a cut the chain goes on from the anchor, so that the gap stays to be seen.
    """
    sequence, previous = (last.sequence, last.hash) if last else (0, START)
    if anchor is not None and anchor[0] > sequence:
        sequence, previous = anchor
    numbered = replace(event, sequence=sequence + 1)
    return replace(numbered, hash=hash_of(numbered, previous))


def _problems_between(before: AuditEvent | None, event: AuditEvent) -> Iterator[str]:
    """Yield what does not fit between an event and the one before it."""
    sequence, previous = (before.sequence, before.hash) if before else (0, START)
    if event.sequence != sequence + 1:
        yield _missing(sequence + 1, event.sequence - 1)
    elif event.hash != hash_of(event, previous):
        yield f"Event {event.sequence} was changed after it was written."


def _missing(first: int, last: int) -> str:
    return (
        f"Event {first} is missing." if first == last else f"Events {first} to {last} are missing."
    )
