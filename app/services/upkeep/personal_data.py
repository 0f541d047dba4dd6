"""A user's own data to take along: all that is stored of them, in one ZIP file."""

import json
import tempfile
from datetime import datetime
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from app.errors import NotFoundError
from app.records import Analysis, HistoryFilter, HistoryOrder, User
from app.services.accounts.identity import Identity
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.history import HistoryService
from app.services.analyses.history_export import line_json
from app.services.audit import AuditService

IN_MEMORY_BYTES = 2**20  # what is larger goes into a temporary file

README = """\
account.json    your account, where you are signed in and your API tokens
analyses.json   your analyses, newest first, with your notes, tags and names of files
scans/          the scans as they were judged, named by the id of their analysis
"""


class PersonalDataService:
    """Packs what is stored of a user; secrets and their digests stay here.

    Args:
        identity: Knows sessions, tokens and the second factor.
        history: Knows the analyses and what their owners wrote to them.
        analyses: Knows their scans.
        audit: Where it is recorded that somebody took their data along.
    """

    def __init__(
        self,
        identity: Identity,
        history: HistoryService,
        analyses: AnalysisService,
        audit: AuditService,
    ) -> None:
        self._identity = identity
        self._history = history
        self._analyses = analyses
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
                self._add_scan(archive, user, line.analysis)
            archive.writestr("analyses.json", _json(found))
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

    def _add_scan(self, archive: ZipFile, user: User, analysis: Analysis) -> None:
        try:
            png = self._analyses.scan_png(user, analysis.id)
        except NotFoundError:  # deleted in the meantime
            return
        archive.writestr(f"scans/{analysis.id}.png", png, ZIP_STORED)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _time(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
