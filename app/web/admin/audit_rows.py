"""Events of the audit trail in words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.records import AuditEvent
from app.web.context import services

ACTIONS = {
    "account.created": "Account made",
    "account.approved": "Account approved",
    "account.signed_in": "Signed in",
    "account.signed_out": "Signed out",
    "account.sign_in_failed": "Sign-in failed",
    "account.session_ended": "Session ended",
    "account.password_changed": "Password changed",
    "account.reset_link_made": "Link for a new password made",
    "account.reset_link_sent": "Link for a new password sent",
    "account.password_reset": "Password set with a link",
    "account.contact_changed": "Address or number changed",
    "account.second_factor_on": "One-time codes turned on",
    "account.second_factor_off": "One-time codes turned off",
    "account.recovery_codes_renewed": "Recovery codes renewed",
    "account.recovery_code_used": "Recovery code used",
    "account.activated": "Account activated",
    "account.deactivated": "Account deactivated",
    "account.role_changed": "Role changed",
    "account.quota_set": "Storage limit set",
    "account.data_exported": "Own data downloaded",
    "account.deleted": "Account deleted",
    "access.refused": "Access refused",
    "invitation.created": "Invitation made",
    "invitation.withdrawn": "Invitation withdrawn",
    "token.created": "API token made",
    "token.revoked": "API token revoked",
    "analysis.submitted": "Scan handed in",
    "analysis.judged": "Verdict given",
    "analysis.viewed": "Verdict read",
    "analysis.noted": "Note or tags written",
    "analysis.gate_overridden": "Judged against the gate",
    "analysis.deleted": "Analysis deleted",
    "analysis.expired": "Analysis removed after its time",
    "study.viewed": "Study read",
    "study.deleted": "Study deleted",
    "upload.forgotten": "Upload forgotten",
    "history.exported": "History exported",
    "report.issued": "Report downloaded",
    "verdict.contested": "Verdict contested",
    "verdict.contest_withdrawn": "Contest withdrawn",
    "verdict.label_consent": "Consent to a label changed",
    "review.viewed": "Contested scan looked at",
    "review.case_uploaded": "Reviewer handed in a contested scan",
    "review.answered": "Second opinion given",
    "review.settled": "Second opinion settled",
    "labels.exported": "Labels exported",
    "settings.changed": "Setting changed",
    "detector.activated": "Detector activated",
    "detector.shadow_started": "Shadow run started",
    "detector.shadow_stopped": "Shadow run ended",
    "calibration.limit_set": "Limit of this site set",
    "calibration.limit_removed": "Limit of this site removed",
    "calibration.scores_removed": "Scores of authentic scans forgotten",
    "retention.purged": "Old data removed",
    "backup.made": "Backup made",
    "signing_key.rotated": "Signing key changed",
    "storage_key.rotated": "Storage key changed",
    "audit.exported": "Audit trail exported",
    "audit.verified": "Audit trail checked",
    "audit.anchor_lost": "Anchor of the trail was lost",
    "audit.reanchored": "Trail anchored anew",
}
GROUPS = {
    "account.": "Accounts and sign-ins",
    "access.": "Refused access",
    "invitation.": "Invitations",
    "token.": "API tokens",
    "analysis.": "Scans and verdicts",
    "study.": "Studies",
    "upload.": "Uploads",
    "report.": "Reports",
    "history.": "Histories",
    "verdict.": "Contested verdicts",
    "review.": "Second opinions",
    "labels.": "Labels",
    "settings.": "Settings",
    "detector.": "Detectors",
    "calibration.": "Site calibration",
    "retention.": "Removal of old data",
    "backup.": "Backups",
    "signing_key.": "Signing key",
    "storage_key.": "Storage key",
    "audit.": "The audit trail itself",
}
ID_CHARACTERS = 8
WARNINGS = (
    "account.sign_in_failed",
    "access.refused",
    "review.case_uploaded",
    "audit.anchor_lost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An event as a table shows it.

    Attributes:
        actor: The username, a pseudonym for who is deleted, or who else it was.
        actor_link: Id of the user, if there still is one.
        subject: What it was done to, in short.
        subject_link: Id of the user that it was done to, if there still is one.
        details: What else is known, by name.
    """

    event: AuditEvent
    action: str
    is_warning: bool
    actor: str
    actor_link: UUID | None
    subject: str
    subject_link: UUID | None
    details: tuple[tuple[str, str], ...]


def rows_of(events: Sequence[AuditEvent]) -> list[AuditRow]:
    """Return events as a table shows them, with the names that their users have now."""
    ids = {event.actor_id for event in events if event.actor_id}
    ids |= {user_id for event in events if (user_id := _user_in(event))}
    names = services().administration.directory.names(ids)
    return [_row_of(event, names) for event in events]


def action_name(action: str) -> str:
    """Return an action in words."""
    return ACTIONS.get(action, action.replace(".", " ").replace("_", " ").capitalize())


def _row_of(event: AuditEvent, names: dict[UUID, str]) -> AuditRow:
    person = _user_in(event)
    return AuditRow(
        event=event,
        action=action_name(event.action),
        is_warning=event.action in WARNINGS,
        actor=_who(event.actor_id, names, "Nobody signed in" if event.address else "The server"),
        actor_link=event.actor_id if event.actor_id in names else None,
        subject=_who(person, names, "") if person else _short(event.subject),
        subject_link=person if person in names else None,
        details=tuple(
            (name.replace("_", " "), _short_value(str(value)))
            for name, value in json.loads(event.details).items()
        ),
    )


def _user_in(event: AuditEvent) -> UUID | None:
    """Return the user that an event was about, if it was about one."""
    return _id_in(event.subject) if event.action.startswith("account.") else None


def _id_in(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _who(user_id: UUID | None, names: dict[UUID, str], otherwise: str) -> str:
    if user_id is None:
        return otherwise
    return names.get(user_id, f"deleted user {str(user_id)[:ID_CHARACTERS]}")


def _short(subject: str) -> str:
    return subject[:ID_CHARACTERS] if _id_in(subject) else subject


def _short_value(value: str) -> str:
    is_digest = len(value) == 64 and all(c in "0123456789abcdef" for c in value)
    return f"{value[:12]}…" if is_digest else value
