"""Second opinions: who may ask, who may answer, what they see, and how a case is settled."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from uuid import uuid4

import pytest

from app.detection.labels import Verdict
from app.errors import (
    AlreadyAnsweredError,
    AlreadyContestedError,
    CaseClosedError,
    CommentTooLongError,
    NotFoundError,
    NothingToContestError,
    ReasonInvalidError,
    VeriscanError,
)
from app.records import AnalysisStatus, EventFilter, Opinion, ReviewCase, Role, Settlement, User
from app.services.analyses.settling import MOST_ANSWERS, settled_as
from app.services.audit import AuditService
from app.services.reviews.reviews import (
    MAX_COMMENT_CHARACTERS,
    MAX_REASON_CHARACTERS,
    ReviewService,
)
from tests.app.services.reviews.review_board import Board, open_board
from tests.people import person

REAL, FAKE, UNSURE = Opinion.REAL, Opinion.FAKE, Opinion.UNSURE
OWNER = person()
REVIEWERS = [person(Role.REVIEWER) for _ in range(4)]
REASON = "The lesion was there a year ago."


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Iterator[Board]:
    board = open_board(tmp_path_factory.mktemp("board"), tiny_weights_dir)
    yield board
    board.services.stop()


@pytest.fixture
def reviews(board: Board) -> ReviewService:
    return board.services.reviews


@pytest.fixture
def case(board: Board, reviews: ReviewService) -> ReviewCase:
    """A new contested verdict of the owner's."""
    return reviews.contest(OWNER, board.judged(OWNER).id, REASON, may_be_label=True)


def settle(reviews: ReviewService, case: ReviewCase, *opinions: Opinion) -> ReviewCase:
    for reviewer, opinion in zip(REVIEWERS, opinions, strict=False):
        case = reviews.answer(reviewer, case.id, opinion)
    return case


# --- contesting -----------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.REAL, Verdict.FAKE, Verdict.INCONCLUSIVE])
def test_any_verdict_may_be_contested_by_its_owner(
    board: Board, reviews: ReviewService, verdict: Verdict
) -> None:
    analysis = board.judged(OWNER, verdict)

    case = reviews.contest(OWNER, analysis.id, f"  {REASON} ", may_be_label=False)

    assert case.is_open
    assert case.reason == REASON
    assert reviews.find(OWNER, analysis.id) == case


@pytest.mark.parametrize(
    "viewer",
    [person(), person(Role.REVIEWER), person(Role.ADMIN)],
    ids=["stranger", "reviewer", "admin"],
)
def test_nobody_else_contests_it(board: Board, reviews: ReviewService, viewer: User) -> None:
    with pytest.raises(NotFoundError):
        reviews.contest(viewer, board.judged(OWNER).id, REASON, may_be_label=True)


def test_without_a_verdict_there_is_nothing_to_contest(
    board: Board, reviews: ReviewService
) -> None:
    stopped = board.judged(OWNER, Verdict.NOT_JUDGED)
    failed = board.judged(OWNER, status=AnalysisStatus.FAILED, finding=None, error="It failed.")

    for analysis in (stopped, failed):
        with pytest.raises(NothingToContestError):
            reviews.contest(OWNER, analysis.id, REASON, may_be_label=True)


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * (MAX_REASON_CHARACTERS + 1)])
def test_a_reason_is_asked_for(board: Board, reviews: ReviewService, reason: str) -> None:
    analysis = board.judged(OWNER)

    with pytest.raises(ReasonInvalidError):
        reviews.contest(OWNER, analysis.id, reason, may_be_label=True)

    assert reviews.find(OWNER, analysis.id) is None


def test_a_verdict_is_contested_once(reviews: ReviewService, case: ReviewCase) -> None:
    with pytest.raises(AlreadyContestedError):
        reviews.contest(OWNER, case.analysis_id, REASON, may_be_label=True)


def test_two_clicks_at_once_make_one_case(board: Board, reviews: ReviewService) -> None:
    analysis = board.judged(OWNER)

    def contest(_: int) -> bool:
        try:
            reviews.contest(OWNER, analysis.id, REASON, may_be_label=True)
        except AlreadyContestedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(contest, range(4))) == 1


def test_the_acts_are_in_the_audit_trail_without_what_was_written(
    board: Board, reviews: ReviewService, case: ReviewCase
) -> None:
    settle(reviews, case, FAKE, FAKE)
    audit: AuditService = board.services.audit

    events = audit.page(EventFilter(), limit=4)

    assert [event.action for event in reversed(events)] == [
        "verdict.contested",
        "review.answered",
        "review.answered",
        "review.settled",
    ]
    assert not any(REASON in event.details for event in events)


# --- taking it back -------------------------------------------------------------------------


def test_an_open_question_can_be_taken_back_and_asked_again(
    reviews: ReviewService, case: ReviewCase
) -> None:
    reviews.answer(REVIEWERS[0], case.id, FAKE)

    reviews.withdraw(OWNER, case.analysis_id)

    assert reviews.find(OWNER, case.analysis_id) is None
    with pytest.raises(NotFoundError):
        reviews.answer(REVIEWERS[1], case.id, FAKE)
    again = reviews.contest(OWNER, case.analysis_id, REASON, may_be_label=False)
    assert reviews.count_answers(again) == 0


def test_a_settled_case_stands(reviews: ReviewService, case: ReviewCase) -> None:
    settle(reviews, case, FAKE, FAKE)

    with pytest.raises(CaseClosedError):
        reviews.withdraw(OWNER, case.analysis_id)


def test_consent_can_be_taken_back_at_any_time(reviews: ReviewService, case: ReviewCase) -> None:
    settle(reviews, case, FAKE, FAKE)

    reviews.set_may_be_label(OWNER, case.analysis_id, may_be_label=False)

    found = reviews.find(OWNER, case.analysis_id)
    assert found is not None
    assert found.may_be_label is False


@pytest.mark.parametrize("viewer", [person(), person(Role.ADMIN)], ids=["stranger", "admin"])
def test_nobody_else_takes_it_back_or_consents(
    reviews: ReviewService, case: ReviewCase, viewer: User
) -> None:
    with pytest.raises(NotFoundError):
        reviews.withdraw(viewer, case.analysis_id)
    with pytest.raises(NotFoundError):
        reviews.set_may_be_label(viewer, case.analysis_id, may_be_label=True)


def test_a_case_goes_with_its_analysis(
    board: Board, reviews: ReviewService, case: ReviewCase
) -> None:
    settle(reviews, case, FAKE)

    board.services.analyses.delete(OWNER, case.analysis_id)

    for act in (reviews.blind, reviews.scan_png, reviews.closed):
        with pytest.raises(NotFoundError):
            act(REVIEWERS[1], case.id)
    assert case.id not in [c.id for c in reviews.waiting_for(REVIEWERS[1])]


# --- answering ------------------------------------------------------------------------------


def test_a_reviewer_sees_the_scan_and_nothing_else(
    reviews: ReviewService, case: ReviewCase
) -> None:
    reviews.answer(REVIEWERS[0], case.id, FAKE, "Look at the edge.")

    blind = reviews.blind(REVIEWERS[1], case.id)

    assert case.id in [c.id for c in reviews.waiting_for(REVIEWERS[1])]
    assert blind.own_answer is None
    shown = repr(blind)
    hidden = (str(OWNER.id), str(case.analysis_id), REASON, "edge", "deepfake", "0.99", "2026")
    assert not [secret for secret in hidden if secret in shown]
    assert reviews.scan_png(REVIEWERS[1], case.id).startswith(b"\x89PNG")


def test_the_picture_has_no_metadata(reviews: ReviewService, case: ReviewCase) -> None:
    png = reviews.scan_png(REVIEWERS[0], case.id)

    assert not [kind for kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME") if kind in png]


@pytest.mark.parametrize(
    "user",
    [
        person(),
        person(Role.ADMIN),
        OWNER,
        replace(person(Role.REVIEWER), is_active=False),
    ],
    ids=["clinician", "admin", "owner", "deactivated reviewer"],
)
def test_only_active_reviewers_answer(reviews: ReviewService, case: ReviewCase, user: User) -> None:
    with pytest.raises(NotFoundError):
        reviews.answer(user, case.id, REAL)
    with pytest.raises(NotFoundError):
        reviews.blind(user, case.id)
    with pytest.raises(NotFoundError):
        reviews.waiting_for(user)


def test_a_reviewer_does_not_judge_a_scan_of_their_own(
    board: Board, reviews: ReviewService
) -> None:
    reviewer = person(Role.REVIEWER)
    own = reviews.contest(reviewer, board.judged(reviewer).id, REASON, may_be_label=True)

    assert own.id not in [case.id for case in reviews.waiting_for(reviewer)]
    with pytest.raises(NotFoundError):
        reviews.blind(reviewer, own.id)
    with pytest.raises(NotFoundError):
        reviews.answer(reviewer, own.id, REAL)


def test_an_answer_is_given_once(reviews: ReviewService, case: ReviewCase) -> None:
    reviews.answer(REVIEWERS[0], case.id, FAKE, " Look at the edge. ")

    with pytest.raises(AlreadyAnsweredError):
        reviews.answer(REVIEWERS[0], case.id, FAKE)

    own = reviews.blind(REVIEWERS[0], case.id).own_answer
    assert own is not None
    assert (own.opinion, own.comment) == (FAKE, "Look at the edge.")
    assert case.id not in [c.id for c in reviews.waiting_for(REVIEWERS[0])]
    assert reviews.count_waiting_for(REVIEWERS[0]) == len(reviews.waiting_for(REVIEWERS[0]))
    assert reviews.answered_by(REVIEWERS[0])[0].id == case.id


def test_a_comment_has_a_limit(reviews: ReviewService, case: ReviewCase) -> None:
    with pytest.raises(CommentTooLongError):
        reviews.answer(REVIEWERS[0], case.id, FAKE, "x" * (MAX_COMMENT_CHARACTERS + 1))


def test_there_is_no_answer_to_what_does_not_exist(reviews: ReviewService) -> None:
    with pytest.raises(NotFoundError):
        reviews.answer(REVIEWERS[0], uuid4(), FAKE)


# --- settling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opinions", "settlement"),
    [
        ([], None),
        ([FAKE], None),
        ([UNSURE], None),
        ([FAKE, FAKE], Settlement.FAKE),
        ([REAL, REAL], Settlement.REAL),
        ([REAL, FAKE], None),
        ([UNSURE, FAKE], None),
        ([UNSURE, UNSURE], Settlement.UNDECIDED),
        ([REAL, FAKE, REAL], Settlement.REAL),
        ([FAKE, UNSURE, FAKE], Settlement.FAKE),
        ([REAL, FAKE, UNSURE], Settlement.UNDECIDED),
        ([UNSURE, FAKE, UNSURE], Settlement.UNDECIDED),
    ],
)
def test_two_who_agree_settle_a_case(
    opinions: list[Opinion], settlement: Settlement | None
) -> None:
    assert settled_as(opinions) == settlement


def test_three_answers_always_end_a_case_and_the_order_does_not_matter() -> None:
    for opinions in product(Opinion, repeat=MOST_ANSWERS):
        assert settled_as(opinions) is not None
        assert settled_as(opinions) == settled_as(opinions[::-1])


def test_the_outcome_is_open_to_owner_reviewers_and_admins(
    reviews: ReviewService, case: ReviewCase
) -> None:
    settle(reviews, case, FAKE, REAL, FAKE)

    for viewer in (OWNER, REVIEWERS[3], person(Role.ADMIN)):
        closed = reviews.closed(viewer, case.id)
        assert closed.case.outcome is Settlement.FAKE
        assert [answer.opinion for answer in closed.answers] == [FAKE, REAL, FAKE]
        assert closed.verdict is Verdict.FAKE
    with pytest.raises(NotFoundError):
        reviews.closed(person(), case.id)


def test_an_open_case_shows_its_answers_to_nobody(reviews: ReviewService, case: ReviewCase) -> None:
    reviews.answer(REVIEWERS[0], case.id, FAKE)

    for viewer in (OWNER, *REVIEWERS[:2], person(Role.ADMIN)):
        with pytest.raises(NotFoundError):
            reviews.closed(viewer, case.id)


def test_nothing_is_added_to_a_settled_case(reviews: ReviewService, case: ReviewCase) -> None:
    settle(reviews, case, FAKE, FAKE)

    with pytest.raises(CaseClosedError):
        reviews.answer(REVIEWERS[2], case.id, REAL)


def test_four_who_answer_at_once_leave_no_more_answers_than_were_needed(
    reviews: ReviewService, case: ReviewCase
) -> None:
    def answer(reviewer: User) -> bool:
        try:
            reviews.answer(reviewer, case.id, FAKE)
        except VeriscanError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(answer, REVIEWERS)) == 2

    assert reviews.closed(OWNER, case.id).case.outcome is Settlement.FAKE
