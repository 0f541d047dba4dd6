"""Cases as they are shown: blind to who is yet to answer, with everything once they are settled."""

from dataclasses import dataclass
from uuid import UUID

from app.detection.labels import Verdict
from app.records import ReviewAnswer, ReviewCase


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindCase:
    """What a reviewer sees of a case before answering, and no more.

    Attributes:
        id: Of the case, which tells nothing of the analysis.
        width: Of the scan, in pixels.
        height: Of the scan, in pixels.
        hounsfield: As in ``Analysis``.
        own_answer: What this reviewer has answered; None before.
    """

    id: UUID
    modality: str
    width: int
    height: int
    hounsfield: tuple[float, float] | None
    own_answer: ReviewAnswer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedCase:
    """A settled case with all that was said, for its owner, the reviewers and admins.

    Attributes:
        answers: In the order in which they came; who gave them is not to be shown.
        verdict: Of the detector.
        width: Of the scan, in pixels.
        height: Of the scan, in pixels.
        hounsfield: As in ``Analysis``.
    """

    case: ReviewCase
    answers: tuple[ReviewAnswer, ...]
    verdict: Verdict
    width: int
    height: int
    hounsfield: tuple[float, float] | None
