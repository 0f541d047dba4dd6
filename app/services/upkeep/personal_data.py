"""A user's own data to take along: all that is stored of them, in one ZIP file."""

import json
import tempfile
from datetime import datetime
from typing import IO, Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from app.errors import NotFoundError
from app.records import HistoryFilter, HistoryOrder, User
from app.services.accounts.identity import Identity
from app.services.analyses.history import HistoryService
from app.services.analyses.history_export import line_json
from app.services.audit import AuditService
from app.storage.images import ImageStore, Picture
from app.storage.reviews import ReviewStore

IN_MEMORY_BYTES = 2**20  # what is larger goes into a temporary file

README = """\
account.json    your account, where you are signed in and your API tokens
analyses.json   your analyses, newest first, with your notes, tags and names of files
reviews.json    your second opinions: what you asked and why, and what you answered as a reviewer
scans/          the scans as they were judged, named by the id of their analysis
"""


class PersonalDataService:
    """Packs what is stored of a user; secrets and their digests stay here.

    Args:
        identity: Knows sessions, tokens and the second factor.
        history: Knows the analyses and what their owners wrote to them.
        images: Where their scans are.
        reviews: Knows what they asked and answered in second opinions.
        audit: Where it is recorded that somebody took their data along.
    """

    def __init__(
        self,
        identity: Identity,
        history: HistoryService,
        images: ImageStore,
        reviews: ReviewStore,
        audit: AuditService,
    ) -> None:
        self._identity = identity
        self._history = history
        self._images = images
        self._reviews = reviews
        self._audit = audit

    def export(self, user: User) -> IO[bytes]:
        """Return a ZIP file, open at its start; it is gone once closed.

        Raises:
            StorageError: Something cannot be read.
        """
        self._audit.record("account.data_exported", actor=user.id, subject=str(user.id))
        file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", README)
            archive.writestr("account.json", _json(self._account(user)))
            found = []
            newest, everything = HistoryOrder.NEWEST, HistoryFilter()
            for line in self._history.each(user, everything, newest, file_format="zip"):
                found.append(line_json(line))
                self._add_scan(archive, line.analysis.id)
            archive.writestr("analyses.json", _json(found))
            archive.writestr("reviews.json", _json(self._second_opinions(user)))
        file.seek(0)
        return file

    def _account(self, user: User) -> dict[str, Any]:
        factor = self._identity.second_factors.status(user.id)
        return {
            "id": str(user.id),
            "username": user.username,
            "email": user.email,
            "mobile": user.mobile,
            "role": user.role.value,
            "created": _time(user.created),
            "second_factor_since": _time(factor.since) if factor.since else None,
            "sessions": [
                {
                    "device": session.device,
                    "address": session.address,
                    "created": _time(session.created),
                    "last_seen": _time(session.last_seen),
                }
                for session in self._identity.sessions.list_of_user(user.id)
            ],
            "api_tokens": [
                {
                    "name": token.name,
                    "created": _time(token.created),
                    "last_used": _time(token.last_used) if token.last_used else None,
                    "scopes": sorted(token.scopes),
                    "expires": _time(token.expires) if token.expires else None,
                }
                for token in self._identity.tokens.list_of_user(user.id)
            ],
        }

    def _second_opinions(self, user: User) -> dict[str, Any]:
        return {
            "asked": [
                {
                    "analysis": str(case.analysis_id),
                    "reason": case.reason,
                    "may_be_label": case.may_be_label,
                    "created": _time(case.created),
                    "outcome": case.outcome.value if case.outcome else None,
                }
                for case in self._reviews.cases_of(user.id)
            ],
            "answered": [
                {
                    "case": str(case_id),
                    "opinion": answer.opinion.value,
                    "comment": answer.comment,
                    "created": _time(answer.created),
                }
                for case_id, answer in self._reviews.answers_by(user.id)
            ],
        }

    def _add_scan(self, archive: ZipFile, analysis_id: UUID) -> None:
        try:
            png = self._images.get(analysis_id, Picture.SCAN)
        except NotFoundError:  # deleted in the meantime
            return
        archive.writestr(f"scans/{analysis_id}.png", png, ZIP_STORED)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _time(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
