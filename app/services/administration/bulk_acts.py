"""The same change to many accounts at once, written once however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from app.errors import LastAdminError
from app.records import Role, User
from app.services.accounts.accounts import administers
from app.services.accounts.sessions import SessionService
from app.services.audit import AuditService
from app.storage.users import UserStore


class BulkAct(StrEnum):
    """What can be done to many accounts."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    MAKE_CLINICIANS = "clinician"
    MAKE_REVIEWERS = "reviewer"


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What came of it.

    Attributes:
        changed: How many accounts were changed.
        kept: The own account, if it was among them; it was passed over.
    """

    changed: int
    kept: tuple[User, ...]


FIELDS: Mapping[BulkAct, Mapping[str, Any]] = MappingProxyType(
    {
        BulkAct.ACTIVATE: {"is_active": True, "awaits_approval": False},
        BulkAct.DEACTIVATE: {"is_active": False},
        BulkAct.MAKE_CLINICIANS: {"role": Role.CLINICIAN.value},
        BulkAct.MAKE_REVIEWERS: {"role": Role.REVIEWER.value},
    }
)
"""The fields of an account that an act sets, as they are stored."""


class BulkActService:
    """Changes many accounts.

    Args:
        users: Where they are.
        sessions: End where somebody is deactivated.
        audit: Each change is an event of its own.
    """

    def __init__(self, users: UserStore, sessions: SessionService, audit: AuditService) -> None:
        self._users = users
        self._sessions = sessions
        self._audit = audit

    def change(self, user_ids: Sequence[UUID], act: BulkAct, *, actor: UUID) -> BulkResult:
        """Do something to many accounts; those that do not exist (any more) are passed over.

        Nobody changes their own account with others.

        Raises:
            LastAdminError: Nobody could administer the system afterwards, since somebody keeps
                ``actor`` out at the same time; nothing is changed.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """
        wanted = set(user_ids)
        with self._users.transaction():
            everybody = self._users.list()
            found = [user for user in everybody if user.id in wanted]
            others = [user for user in found if user.id != actor]
            changing = {user.id for user in others}
            staying = (user for user in everybody if user.id not in changing)
            if act is not BulkAct.ACTIVATE and not any(map(administers, staying)):
                raise LastAdminError
            self._users.set_fields(changing, FIELDS[act])
        for user in others:
            self._record(user, act, actor)
        return BulkResult(len(others), tuple(user for user in found if user.id == actor))

    def _record(self, user: User, act: BulkAct, actor: UUID) -> None:
        subject = str(user.id)
        if act is BulkAct.DEACTIVATE:
            self._sessions.end_all(user.id)
            self._audit.record("account.deactivated", actor=actor, subject=subject)
        elif act is BulkAct.ACTIVATE:
            action = "account.approved" if user.awaits_approval else "account.activated"
            self._audit.record(action, actor=actor, subject=subject)
        else:
            self._audit.record("account.role_changed", actor=actor, subject=subject, role=act.value)
