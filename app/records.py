"""What Veriscan stores: users, tokens and analyses, as immutable records.

All times are timezone-aware and in UTC. All ids are random UUIDs, never reused.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.detection.labels import Verdict
from app.detection.verdict import Finding


class Role(StrEnum):
    """What a user may do."""

    CLINICIAN = "clinician"
    ADMIN = "admin"


class AnalysisStatus(StrEnum):
    """How far an analysis has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the analysis will not change any more."""
        return self in (AnalysisStatus.DONE, AnalysisStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account.

    Attributes:
        username: As typed; unique without regard to case.
        email: As typed; unique without regard to case.
        mobile: In E.164 form, such as ``+4915123456789``.
        password_hash: Salted hash in Werkzeug's format, which names its method and cost.
    """

    id: UUID
    username: str
    email: str
    mobile: str
    password_hash: str
    role: Role
    is_active: bool
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A key with which scripts act for a user.

    Attributes:
        name: The user's own words for it.
        digest: SHA-256 of the secret, hex; the secret itself is shown once and not stored.
        last_used: None while it never was.
    """

    id: UUID
    user_id: UUID
    name: str
    digest: str
    created: datetime
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One scan that a user had judged.

    Attributes:
        image_sha256: Hash of the uploaded bytes, hex.
        image_format: ``PNG``, ``JPEG``, ``TIFF``, ``BMP`` or ``DICOM``.
        width: Of the decoded image, in pixels.
        height: Of the decoded image, in pixels.
        declared_synthetic: The DICOM attribute Synthetic Data (0008,001C) says YES.
        finding: None until the status is ``done``.
        error: Why the analysis failed; None unless the status is ``failed``.
        override_gate: It is to be judged even if it does not look like a scan of its modality.
    """

    id: UUID
    user_id: UUID
    modality: str
    status: AnalysisStatus
    created: datetime
    image_sha256: str
    image_format: str
    width: int
    height: int
    declared_synthetic: bool = False
    finished: datetime | None = None
    finding: Finding | None = None
    error: str | None = None
    override_gate: bool = False

    @property
    def is_not_judged(self) -> bool:
        """Whether the gate stopped the scan, so that there is no verdict and no heatmap."""
        return self.finding is not None and self.finding.verdict is Verdict.NOT_JUDGED
