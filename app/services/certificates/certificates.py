"""Certificates: the report on an analysis, signed by this installation, as JSON and as PDF.

What is signed is the report as canonical JSON (RFC 8785), in UTF-8. The JSON file holds it with its
signature, ``{"report": {…}, "signature": "<hex>"}``, itself in canonical form. The PDF carries that
file as an attachment, and its last line is a signature over every byte before it: a comment, which
readers of PDF pass over.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import rfc8785

from app.detection.verdict import Finding
from app.errors import NotFoundError
from app.records import Analysis, User
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.reports import certificate_json
from app.services.audit import AuditService
from app.services.certificates.report_pdf import Pictures, Words, draw_report
from app.services.certificates.signing import SIGNATURE_CHARACTERS, SigningService
from app.storage.certificates import Certificate, CertificateStore

PDF_DOMAIN = b"veriscan-pdf/1\n"
"""Put before the bytes of a PDF that is signed, so that its signature fits nothing else."""

Say = Callable[[Analysis, Finding], Words]
"""Says in words what the pages of a report tell of a finding."""

SEAL = re.compile(rb"%VeriscanSeal ([0-9a-f]{16}) ([0-9a-f]{128})\n")
SEAL_BYTES = len(b"%VeriscanSeal ") + 16 + 1 + SIGNATURE_CHARACTERS + 1


class CertificateService:
    """Issues certificates to those who may see the analysis.

    The same analysis gives the same JSON however often it is asked for, until the key changes.

    Args:
        analyses: Where the analyses and their pictures come from.
        signing: Signs.
        store: Where what was issued is kept.
        audit: Where issuing is recorded.
    """

    def __init__(
        self,
        analyses: AnalysisService,
        signing: SigningService,
        store: CertificateStore,
        audit: AuditService,
    ) -> None:
        self._analyses = analyses
        self._signing = signing
        self._store = store
        self._audit = audit

    def report(self, viewer: User, analysis_id: UUID) -> bytes:
        """Return the signed report on an analysis as canonical JSON.

        Raises:
            NotFoundError: There is no finished analysis of this id that the viewer may see.
            SigningKeyError: It cannot be signed.
        """
        return self._issued(viewer, self._finished(viewer, analysis_id), "json")

    def pdf(self, viewer: User, analysis_id: UUID, say: Say) -> bytes:
        """Return the report on an analysis as a sealed PDF that holds the signed JSON.

        Args:
            viewer: Its owner or an admin.
            analysis_id: Of a finished analysis.
            say: Says in words what the pages tell.

        Raises:
            NotFoundError: There is no finished analysis of this id that the viewer may see.
            SigningKeyError: It cannot be signed.
        """
        analysis = self._finished(viewer, analysis_id)
        pictures = Pictures(
            scan=self._analyses.scan_png(viewer, analysis_id),
            heatmap=(
                None if analysis.is_not_judged else self._analyses.heatmap_png(viewer, analysis_id)
            ),
        )
        report = self._issued(viewer, analysis, "pdf")
        made = analysis.finished or analysis.created
        pdf = draw_report(
            say(analysis, _finding_of(analysis)), pictures, attachment=report, made=made
        )
        signer = self._signing.signer()
        seal = signer.sign(PDF_DOMAIN + pdf)
        return pdf + f"%VeriscanSeal {signer.key_id} {seal}\n".encode()

    def _finished(self, viewer: User, analysis_id: UUID) -> Analysis:
        analysis = self._analyses.get(viewer, analysis_id)
        _finding_of(analysis)
        return analysis

    def _issued(self, viewer: User, analysis: Analysis, kind: str) -> bytes:
        signer = self._signing.signer()
        report = certificate_json(analysis, self._signing.installation, signer.key_id)
        text = rfc8785.dumps(report)
        signature = signer.sign(text)
        self._store.add(
            Certificate(
                signature=signature,
                analysis_id=analysis.id,
                image_sha256=analysis.image_sha256,
                report=text.decode(),
                issued=datetime.now(UTC),
            )
        )
        self._audit.record("report.issued", actor=viewer.id, subject=str(analysis.id), kind=kind)
        return rfc8785.dumps({"report": report, "signature": signature})


def _finding_of(analysis: Analysis) -> Finding:
    if analysis.finding is None:
        raise NotFoundError("report")
    return analysis.finding
