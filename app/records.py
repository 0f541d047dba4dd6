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
    REVIEWER = "reviewer"
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
        is_active: Whether they may sign in.
        awaits_approval: They have registered and nobody has let them in yet; not active then.
    """

    id: UUID
    username: str
    email: str
    mobile: str
    password_hash: str
    role: Role
    is_active: bool
    created: datetime
    awaits_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser in which a user is signed in, or half-way so.

    Attributes:
        id: By which its owner ends it; it opens nothing.
        digest: SHA-256 of the secret in the browser's cookie, hex.
        last_seen: Time of a recent request, to the minute.
        authenticated: When the user last proved who they are: at sign-in or when asked again.
        is_complete: False while the password was right and the one-time code is still to come.
        device: Browser and system in plain words.
        address: Network address at sign-in.
    """

    id: UUID
    user_id: UUID
    digest: str
    created: datetime
    last_seen: datetime
    authenticated: datetime
    is_complete: bool
    device: str
    address: str


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    INVITATION = "invitation"
    PASSWORD = "password"  # noqa: S105 - a purpose, not a password


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeLink:
    """A link that works once and not for long.

    Attributes:
        digest: SHA-256 of the secret in the link, hex.
        made_by: The administrator who made it; None where its user asked for it by e-mail.
        user_id: Whose password may be set with it; None for an invitation.
        email: The only address that an invitation is good for; empty if it is good for any.
        role: Of the account that an invitation makes.
        used: None while it was not.
    """

    id: UUID
    purpose: LinkPurpose
    digest: str
    created: datetime
    expires: datetime
    made_by: UUID | None = None
    user_id: UUID | None = None
    email: str = ""
    role: Role = Role.CLINICIAN
    used: datetime | None = None


class Scope(StrEnum):
    """What a script may do with an API token."""

    READ = "read"
    ANALYSE = "analyse"
    ANNOTATE = "annotate"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A key with which scripts act for a user.

    Attributes:
        name: The user's own words for it.
        digest: SHA-256 of the secret, hex; the secret itself is shown once and not stored.
        last_used: None while it never was.
        scopes: What may be done with it; everything with one from before there were scopes.
        expires: From when on it opens nothing; None, never, for one from before tokens expired.
    """

    id: UUID
    user_id: UUID
    name: str
    digest: str
    created: datetime
    last_used: datetime | None = None
    scopes: frozenset[Scope] = frozenset(Scope)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One scan that a user had judged.

    Attributes:
        image_sha256: Hash of the uploaded bytes, hex.
        image_format: ``PNG``, ``JPEG``, ``TIFF``, ``BMP`` or ``DICOM``.
        width: Of the decoded image, in pixels.
        height: Of the decoded image, in pixels.
        declared_synthetic: The DICOM attribute Synthetic Data (0008,001C) says YES.
        burned_in_text: The file says that there is writing in the picture itself.
        hounsfield: Hounsfield units (HU) that the stored scan shows as black and as white; what
            lay outside is cut off. None where its grey values are not in HU.
        stored_bytes: Size of the stored scan and its thumbnail together.
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
    burned_in_text: bool = False
    hounsfield: tuple[float, float] | None = None
    stored_bytes: int = 0
    finished: datetime | None = None
    finding: Finding | None = None
    error: str | None = None
    override_gate: bool = False

    @property
    def is_not_judged(self) -> bool:
        """Whether the gate stopped the scan, so that there is no verdict and no heatmap."""
        return self.finding is not None and self.finding.verdict is Verdict.NOT_JUDGED


class Outcome(StrEnum):
    """What came of an analysis, in the one word that its owner looks for in the history."""

    FAKE = "fake"
    REAL = "real"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not_judged"
    WAITING = "waiting"
    FAILED = "failed"


class HistoryOrder(StrEnum):
    """How a history is sorted. By score, only analyses that have one are in it."""

    NEWEST = "newest"
    OLDEST = "oldest"
    HIGHEST = "highest-score"
    LOWEST = "lowest-score"

    @property
    def is_by_score(self) -> bool:
        """Whether it sorts by the score and not by the time of the upload."""
        return self in (HistoryOrder.HIGHEST, HistoryOrder.LOWEST)

    @property
    def is_descending(self) -> bool:
        """Whether the largest comes first."""
        return self in (HistoryOrder.NEWEST, HistoryOrder.HIGHEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which of their analyses somebody looks for; all conditions hold together.

    Attributes:
        modality: Key of the modality; None for any.
        outcome: None for any.
        since: Uploaded at this moment or later.
        until: Uploaded before this moment.
        words: Each begins a word of the note, of a tag or of what else is searched, or the hash
            of the image.
        tag: A whole tag; empty for any.
        ids: Only these and those of ``studies``; None for any.
        studies: Only the slices of these and those of ``ids``; None for any.
        is_scored: Only those that have a score.
        is_by_study: Of the slices of a study only the one that stands for all of them.
    """

    modality: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: tuple[str, ...] = ()
    tag: str = ""
    ids: frozenset[UUID] | None = None
    studies: frozenset[UUID] | None = None
    is_scored: bool = False
    is_by_study: bool = False


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """A place in a sorted history: right before or after this analysis.

    Attributes:
        key: By what the history is sorted: the time of the upload, or the score.
    """

    key: datetime | float
    analysis_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the owner of an analysis wrote to it.

    Attributes:
        text: May be empty and may have several lines.
        tags: In small letters, sorted, each once.
    """

    analysis_id: UUID
    text: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One thing that happened: who did what to what, when, and from where.

    Attributes:
        sequence: Its number; the first one has 1, and there are no gaps.
        actor_id: Of the user who did it; None for somebody unknown or the server itself. It
            stays when the user is deleted, and then names nobody.
        action: What was done, such as ``analysis.viewed``.
        subject: Id of what it was done to, or empty.
        address: Network address of the client, or empty where there was none.
        details: JSON object of what else is to be known; neither secrets nor patient data.
        hash: SHA-256, hex, of all of this and of the hash of the event before.
    """

    sequence: int
    at: datetime
    actor_id: UUID | None
    action: str
    subject: str
    address: str
    details: str
    hash: str


class Opinion(StrEnum):
    """What a reviewer takes a scan for."""

    REAL = "real"
    FAKE = "fake"
    UNSURE = "unsure"


class Settlement(StrEnum):
    """How a contested case ended."""

    REAL = "real"
    FAKE = "fake"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCase:
    """A contested verdict: one analysis that reviewers look at without knowing it.

    Attributes:
        owner_id: Of the user who contests the verdict on their own scan.
        reason: Why, in the owner's words; reviewers see it once the case is settled.
        may_be_label: Whether the owner lets the settled case be kept as a label for training.
        outcome: None while the case is open.
        settled: When the last answer that was needed came; None while the case is open.
    """

    id: UUID
    analysis_id: UUID
    owner_id: UUID
    modality: str
    reason: str
    may_be_label: bool
    created: datetime
    outcome: Settlement | None = None
    settled: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether reviewers may still answer."""
        return self.outcome is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAnswer:
    """What one reviewer said of one case.

    Attributes:
        comment: In the reviewer's words; may be empty.
    """

    reviewer_id: UUID
    opinion: Opinion
    comment: str
    created: datetime


class FileState(StrEnum):
    """What became of an uploaded file."""

    READING = "reading"
    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The files that a user sent together, to be judged as one kind of scan."""

    id: UUID
    user_id: UUID
    modality: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file of an upload, a member of an archive in it, or a frame of such a file.

    Attributes:
        parent_id: Of the archive or the file of several frames that it came in.
        number: Its place in the upload, or in what it came in, from 1.
        name: What its sender calls it; for the sender's eyes alone.
        problem: Why it was refused, or why not all that it holds was read.
        holds: How many members or frames it holds; None for a single image.
        analysis_id: None unless it was taken and is a single image.
        series: Tells the series of an upload apart; None where it belongs to none.
        position: Place in its series, in mm; None where the file does not say.
    """

    id: UUID
    upload_id: UUID
    number: int
    name: str
    state: FileState
    parent_id: UUID | None = None
    problem: str | None = None
    holds: int | None = None
    analysis_id: UUID | None = None
    series: str | None = None
    position: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The analyses of one series, or of the frames of one file.

    Attributes:
        upload_id: With which upload they came; that may be forgotten by now.
        series: Tells the series of that upload apart.
    """

    id: UUID
    user_id: UUID
    modality: str
    created: datetime
    upload_id: UUID
    series: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySlice:
    """An analysis in its study.

    Attributes:
        number: As the scanner or the file counts it.
        position: In mm along the series; None where the file does not say.
    """

    number: int
    position: float | None
    analysis: Analysis


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceOutcome:
    """As much of a slice as the verdict on its study needs.

    Attributes:
        verdict: None until the status is ``done``.
        probability_fake: As in a finding.
        weights_sha256: Of the weights that gave the verdict, hex.
    """

    analysis_id: UUID
    status: AnalysisStatus
    verdict: Verdict | None = None
    probability_fake: float | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events of the audit trail are asked for; None and the empty text ask for all.

    Attributes:
        action: This one, or all that begin with it if it ends in a dot, as in ``account.``.
        since: At this time or later.
        until: Before this time.
    """

    actor_id: UUID | None = None
    action: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
