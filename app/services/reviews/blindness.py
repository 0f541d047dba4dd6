"""Keeps reviewers from asking the detector about the very scan on which they are to be blind."""

from uuid import UUID

from app.errors import ScanUnderReviewError
from app.records import Analysis, Role, User
from app.services.audit import AuditService
from app.services.decoding import pictures
from app.storage.images import ImageStore, Picture
from app.storage.reviews import ReviewStore


class BlindnessService:
    """Recognises the scan of an open case among what its reviewers hand in.

    Args:
        store: Where the cases are.
        images: Where the pictures of scans are.
        audit: Where it is recorded that somebody tried.
    """

    def __init__(self, store: ReviewStore, images: ImageStore, audit: AuditService) -> None:
        self._store = store
        self._images = images
        self._audit = audit

    def check(self, user: User, analysis: Analysis) -> None:
        """Check, before it is judged, that its sender need not be blind to the verdict on a scan.

        A reviewer could save the picture of a case and read the detector's verdict on it. Only the
        very pixels are recognised, in 8 bits as a browser shows them.

        Raises:
            ScanUnderReviewError: They are yet to give their opinion on it.
        """
        if user.role is not Role.REVIEWER or not self._store.count_waiting_for(user.id):
            return
        fingerprint = fingerprint_of(self._images, analysis.id)
        case_id = self._store.find_waiting_for(user.id, fingerprint)
        if case_id is not None:
            self._audit.record("review.case_uploaded", actor=user.id, subject=str(case_id))
            raise ScanUnderReviewError


def fingerprint_of(images: ImageStore, analysis_id: UUID) -> str:
    """Return the hash by which the pixels of a stored scan are known again.

    Raises:
        NotFoundError: Its picture is gone.
    """
    return pictures.fingerprint(pictures.decoded(images.get(analysis_id, Picture.SCAN)))
