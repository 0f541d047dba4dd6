"""Second opinions: contesting a verdict, answering blind, and what came of it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.detection.labels import Verdict
from app.errors import CommentTooLongError, NotFoundError, NothingToContestError, ReasonInvalidError
from app.records import Analysis, Opinion, ReviewAnswer, ReviewCase, Role, User
from app.services.analyses.settling import settled_as
from app.services.audit import AuditService
from app.services.reviews.blindness import fingerprint_of
from app.services.reviews.cases import BlindCase, ClosedCase
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture
from app.storage.reviews import ReviewStore

MAX_REASON_CHARACTERS = 1000
MAX_COMMENT_CHARACTERS = 1000
MAX_LISTED = 100
CONTESTABLE = frozenset({Verdict.REAL, Verdict.FAKE, Verdict.INCONCLUSIVE})


class ReviewService:
    """Takes contested verdicts to the reviewers and back.

    Args:
        store: Where cases and answers are.
        analyses: Where the contested analyses are.
        images: Where their pictures are.
        audit: Where each act is recorded.
    """

    def __init__(
        self, store: ReviewStore, analyses: AnalysisStore, images: ImageStore, audit: AuditService
    ) -> None:
        self._store = store
        self._analyses = analyses
        self._images = images
        self._audit = audit

    # --- the owner --------------------------------------------------------------------------

    def contest(
        self, owner: User, analysis_id: UUID, reason: str, *, may_be_label: bool
    ) -> ReviewCase:
        """Ask for a second opinion on one's own scan.

        Args:
            owner: Of the analysis.
            analysis_id: Of one with a verdict.
            reason: Why the verdict is doubted.
            may_be_label: Whether the settled case may be kept as a label for training.

        Raises:
            NotFoundError: It does not exist, is not the user's own, or its picture is gone.
            NothingToContestError: It has no verdict.
            ReasonInvalidError: The reason is empty or too long.
            AlreadyContestedError: It was contested before.
        """
        analysis = self._own(owner, analysis_id)
        if not is_contestable(analysis):
            raise NothingToContestError
        reason = reason.strip()
        if not 0 < len(reason) <= MAX_REASON_CHARACTERS:
            raise ReasonInvalidError(MAX_REASON_CHARACTERS)
        case = ReviewCase(
            id=uuid4(),
            analysis_id=analysis.id,
            owner_id=owner.id,
            modality=analysis.modality,
            reason=reason,
            may_be_label=may_be_label,
            created=datetime.now(UTC),
        )
        self._store.add(case, fingerprint_of(self._images, analysis.id))
        self._audit.record(
            "verdict.contested", actor=owner.id, subject=str(analysis.id), may_be_label=may_be_label
        )
        return case

    def find(self, viewer: User, analysis_id: UUID) -> ReviewCase | None:
        """Return the case of an analysis to its owner or an admin; None where there is none.

        Raises:
            NotFoundError: The analysis does not exist or is not the viewer's to see.
        """
        analysis = self._analyses.get(analysis_id)
        if analysis.user_id != viewer.id and viewer.role is not Role.ADMIN:
            raise NotFoundError("analysis")
        return self._store.find_of_analysis(analysis_id)

    def count_answers(self, case: ReviewCase) -> int:
        """Return how many reviewers have answered a case."""
        return len(self._store.answers(case.id))

    def withdraw(self, owner: User, analysis_id: UUID) -> None:
        """Take a contest back while it is open; nothing of it is kept.

        Raises:
            NotFoundError: The user has contested no such verdict.
            CaseClosedError: It is settled.
        """
        case = self._own_case(owner, analysis_id)
        self._store.withdraw(case.id)
        self._audit.record("verdict.contest_withdrawn", actor=owner.id, subject=str(analysis_id))

    def set_may_be_label(self, owner: User, analysis_id: UUID, *, may_be_label: bool) -> None:
        """Give or take back the consent to keep the case as a label, at any time.

        Raises:
            NotFoundError: The user has contested no such verdict.
        """
        case = self._own_case(owner, analysis_id)
        self._store.set_may_be_label(case.id, may_be_label=may_be_label)
        self._audit.record(
            "verdict.label_consent",
            actor=owner.id,
            subject=str(analysis_id),
            may_be_label=may_be_label,
        )

    # --- the reviewers ----------------------------------------------------------------------

    def waiting_for(self, reviewer: User) -> list[ReviewCase]:
        """Return the cases of others that wait for this reviewer's answer, oldest first."""
        _require_reviewer(reviewer)
        return self._store.waiting_for(reviewer.id, limit=MAX_LISTED)

    def count_waiting_for(self, reviewer: User) -> int:
        """Return how many cases of others wait for this reviewer's answer."""
        _require_reviewer(reviewer)
        return self._store.count_waiting_for(reviewer.id)

    def answered_by(self, reviewer: User) -> list[ReviewCase]:
        """Return the cases that this reviewer has answered, newest first."""
        _require_reviewer(reviewer)
        return self._store.answered_by(reviewer.id, limit=MAX_LISTED)

    def blind(self, reviewer: User, case_id: UUID) -> BlindCase:
        """Return a case without verdict, reason, owner, time or the answers of others.

        Raises:
            NotFoundError: There is no such case that this reviewer may judge: nobody judges their
                own scan.
        """
        case = self._foreign(reviewer, case_id)
        analysis = self._analyses.get(case.analysis_id)
        answers = self._store.answers(case.id)
        return BlindCase(
            id=case.id,
            modality=case.modality,
            width=analysis.width,
            height=analysis.height,
            hounsfield=analysis.hounsfield,
            own_answer=next((a for a in answers if a.reviewer_id == reviewer.id), None),
        )

    def scan_png(self, reviewer: User, case_id: UUID) -> bytes:
        """Return the scan of a case as a greyscale PNG without any metadata.

        Raises:
            NotFoundError: There is no such case that this user may see, or the scan is gone.
        """
        return self._picture(reviewer, case_id, Picture.SCAN)

    def thumbnail_png(self, reviewer: User, case_id: UUID) -> bytes:
        """Return the scan of a case small.

        Raises:
            NotFoundError: There is no such case that this user may see, or the scan is gone.
        """
        return self._picture(reviewer, case_id, Picture.THUMBNAIL)

    def _picture(self, user: User, case_id: UUID, picture: Picture) -> bytes:
        """Return a picture; that somebody looks at another user's scan is recorded."""
        case = self._store.get(case_id)
        if case.owner_id != user.id and user.role is not Role.ADMIN:
            _require_reviewer(user)
        png = self._images.get(case.analysis_id, picture)
        if case.owner_id != user.id:
            self._audit.record(
                "review.viewed", actor=user.id, subject=str(case_id), picture=picture.value
            )
        return png

    def answer(
        self, reviewer: User, case_id: UUID, opinion: Opinion, comment: str = ""
    ) -> ReviewCase:
        """Give one's opinion of a case; return the case, which may be settled by it.

        Raises:
            NotFoundError: There is no such case that this reviewer may judge.
            CommentTooLongError: The comment is too long.
            AlreadyAnsweredError: This reviewer has answered it.
            CaseClosedError: It was settled meanwhile.
        """
        case = self._foreign(reviewer, case_id)
        comment = comment.strip()
        if len(comment) > MAX_COMMENT_CHARACTERS:
            raise CommentTooLongError(MAX_COMMENT_CHARACTERS)
        answer = ReviewAnswer(
            reviewer_id=reviewer.id,
            opinion=opinion,
            comment=comment,
            created=datetime.now(UTC),
        )
        case = self._store.answer(case.id, answer, settled_as)
        self._audit.record("review.answered", actor=reviewer.id, subject=str(case.id))
        if case.outcome is not None:
            self._audit.record(
                "review.settled", actor=None, subject=str(case.id), outcome=case.outcome.value
            )
        return case

    # --- afterwards -------------------------------------------------------------------------

    def closed(self, viewer: User, case_id: UUID) -> ClosedCase:
        """Return a settled case to its owner, a reviewer or an admin.

        Raises:
            NotFoundError: There is no such case, it is still open, or not the viewer's to see.
        """
        case = self._store.get(case_id)
        is_open_to = case.owner_id == viewer.id or viewer.role in (Role.REVIEWER, Role.ADMIN)
        if case.is_open or not is_open_to:
            raise NotFoundError("settled case")
        analysis = self._analyses.get(case.analysis_id)
        if analysis.finding is None:
            raise NotFoundError("settled case")
        return ClosedCase(
            case=case,
            answers=tuple(self._store.answers(case.id)),
            verdict=analysis.finding.verdict,
            width=analysis.width,
            height=analysis.height,
            hounsfield=analysis.hounsfield,
        )

    def _own(self, owner: User, analysis_id: UUID) -> Analysis:
        analysis = self._analyses.get(analysis_id)
        if analysis.user_id != owner.id:
            raise NotFoundError("analysis")
        return analysis

    def _own_case(self, owner: User, analysis_id: UUID) -> ReviewCase:
        case = self._store.find_of_analysis(self._own(owner, analysis_id).id)
        if case is None:
            raise NotFoundError("contested verdict")
        return case

    def _foreign(self, reviewer: User, case_id: UUID) -> ReviewCase:
        _require_reviewer(reviewer)
        case = self._store.get(case_id)
        if case.owner_id == reviewer.id:
            raise NotFoundError("case")
        return case


def is_contestable(analysis: Analysis) -> bool:
    """Return whether an analysis has a verdict that could be contested."""
    return analysis.finding is not None and analysis.finding.verdict in CONTESTABLE


def _require_reviewer(user: User) -> None:
    if user.role is not Role.REVIEWER or not user.is_active:
        raise NotFoundError("case")
