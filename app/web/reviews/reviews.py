"""Second opinions: contesting a verdict, answering blind, and what came of it."""

from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import (
    AlreadyAnsweredError,
    AlreadyContestedError,
    CaseClosedError,
    CommentTooLongError,
    NotFoundError,
    NothingToContestError,
    ReasonInvalidError,
)
from app.records import Analysis, Opinion, ReviewCase
from app.services.analyses.settling import MOST_ANSWERS
from app.services.reviews.agreement import SETTLEMENTS
from app.services.reviews.cases import ClosedCase
from app.services.reviews.reviews import (
    MAX_COMMENT_CHARACTERS,
    MAX_REASON_CHARACTERS,
    is_contestable,
)
from app.web.analyses.analyses import png
from app.web.context import services, viewer
from app.web.forms import Form
from app.web.guards import reviewer_only, reviewer_or_admin, signed_in
from app.web.offers import noun_of, title_of
from app.web.reviews.agreement_drawing import FOUND, draw_agreement
from app.web.wording import LABELS

CONTEST_FIELDS = {"reason": "the reason", "may_be_label": "the consent"}
ANSWER_FIELDS = {"opinion": "your opinion", "comment": "the comment"}
OPINIONS = {
    Opinion.REAL: "Authentic",
    Opinion.FAKE: "Deepfake",
    Opinion.UNSURE: "Unsure",
}

bp = Blueprint("reviews", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinion:
    """What the page of a verdict says of a second opinion.

    Attributes:
        case: None where the verdict was not contested.
        answers: How many reviewers have answered.
        closed: The settled case with its answers; None before.
        is_own: Whether the viewer is the owner of the analysis.
        can_contest: Whether the viewer may contest the verdict now.
    """

    case: ReviewCase | None
    answers: int
    closed: ClosedCase | None
    is_own: bool
    can_contest: bool


# --- the owner ------------------------------------------------------------------------------


@bp.get("/analyses/<uuid:analysis_id>/contest")
@signed_in
def contest_form(analysis_id: UUID) -> ResponseReturnValue:
    """Show the form that asks for a second opinion."""
    analysis = services().analyses.get(viewer(), analysis_id)
    if not second_opinion(analysis).can_contest:
        return redirect(url_for("analyses.show", analysis_id=analysis_id), 303)
    return _contest_page(analysis, Form(CONTEST_FIELDS))


@bp.post("/analyses/<uuid:analysis_id>/contest")
@signed_in
def contest(analysis_id: UUID) -> ResponseReturnValue:
    """Ask for a second opinion on one's own scan."""
    form = Form(CONTEST_FIELDS, request.form)
    try:
        services().reviews.contest(
            viewer(), analysis_id, form["reason"], may_be_label=form["may_be_label"] == "yes"
        )
    except ReasonInvalidError as error:
        form.refuse("reason", str(error))
        return _contest_page(services().analyses.get(viewer(), analysis_id), form), 422
    except (AlreadyContestedError, NothingToContestError) as error:
        return _back(analysis_id, str(error), "error")
    return _back(analysis_id, "The reviewers will look at the scan without knowing the verdict.")


@bp.post("/analyses/<uuid:analysis_id>/contest/withdraw")
@signed_in
def withdraw(analysis_id: UUID) -> ResponseReturnValue:
    """Take the contest back while it is open."""
    try:
        services().reviews.withdraw(viewer(), analysis_id)
    except CaseClosedError as error:
        return _back(analysis_id, str(error), "error")
    return _back(analysis_id, "The question is taken back. Nothing of it is kept.")


@bp.post("/analyses/<uuid:analysis_id>/contest/consent")
@signed_in
def change_consent(analysis_id: UUID) -> ResponseReturnValue:
    """Let the settled case be kept as a label, or no longer."""
    may_be_label = request.form.get("may_be_label") == "yes"
    services().reviews.set_may_be_label(viewer(), analysis_id, may_be_label=may_be_label)
    if may_be_label:
        return _back(analysis_id, "The settled case may be kept as a label.")
    return _back(analysis_id, "The case will not be given out as a label any more.")


# --- the reviewers --------------------------------------------------------------------------


@bp.get("/reviews")
@reviewer_only
def queue() -> ResponseReturnValue:
    """List the cases that wait for this reviewer, and those already answered."""
    reviews = services().reviews
    answered = reviews.answered_by(viewer())
    return render_template(
        "reviews/queue.html",
        waiting=reviews.waiting_for(viewer()),
        open_cases=[case for case in answered if case.is_open],
        closed_cases=[case for case in answered if not case.is_open],
        title_of=title_of,
        found=FOUND,
    )


@bp.get("/reviews/<uuid:case_id>")
@reviewer_or_admin
def show(case_id: UUID) -> ResponseReturnValue:
    """Show a case: blind while it is open, with everything once it is settled."""
    try:
        return _closed_page(services().reviews.closed(viewer(), case_id))
    except NotFoundError:
        return _blind_page(case_id, Form(ANSWER_FIELDS))


@bp.get("/reviews/<uuid:case_id>/image")
@reviewer_or_admin
def image(case_id: UUID) -> ResponseReturnValue:
    """Return the scan of a case."""
    return png(services().reviews.scan_png(viewer(), case_id))


@bp.get("/reviews/<uuid:case_id>/thumbnail")
@reviewer_or_admin
def thumbnail(case_id: UUID) -> ResponseReturnValue:
    """Return the scan of a case small, for lists."""
    return png(services().reviews.thumbnail_png(viewer(), case_id))


@bp.post("/reviews/<uuid:case_id>/answer")
@reviewer_only
def answer(case_id: UUID) -> ResponseReturnValue:
    """Give one's opinion of a case."""
    form = Form(ANSWER_FIELDS, request.form)
    try:
        opinion = Opinion(form["opinion"])
    except ValueError:
        form.refuse("opinion", "Choose what you take the scan for.")
        return _blind_page(case_id, form), 422
    try:
        case = services().reviews.answer(viewer(), case_id, opinion, form["comment"])
    except CommentTooLongError as error:
        form.refuse("comment", str(error))
        return _blind_page(case_id, form), 422
    except (AlreadyAnsweredError, CaseClosedError) as error:
        flash(str(error), "error")
        return redirect(url_for("reviews.queue"), 303)
    if case.is_open:
        flash("Thank you. You will see the outcome here once others have answered.", "done")
        return redirect(url_for("reviews.queue"), 303)
    flash("Thank you. Your answer settled the case.", "done")
    return redirect(url_for("reviews.show", case_id=case_id), 303)


@bp.get("/reviews/agreement")
@reviewer_or_admin
def agreement() -> ResponseReturnValue:
    """Chart how far reviewers and the detector agree."""
    return render_template(
        "reviews/agreement.html",
        drawings=[draw_agreement(item) for item in services().agreement.by_modality()],
        settlements=[FOUND[settlement] for settlement in SETTLEMENTS],
    )


# --- parts ----------------------------------------------------------------------------------


def second_opinion(analysis: Analysis) -> SecondOpinion:
    """Return what the page of an analysis, to which the viewer has access, says of it."""
    reviews = services().reviews
    case = reviews.find(viewer(), analysis.id)
    is_own = analysis.user_id == viewer().id
    closed = reviews.closed(viewer(), case.id) if case and not case.is_open else None
    return SecondOpinion(
        case=case,
        answers=reviews.count_answers(case) if case else 0,
        closed=closed,
        is_own=is_own,
        can_contest=is_own and case is None and is_contestable(analysis),
    )


def init_app(app: Flask) -> None:
    """Make known to the templates what the page of a verdict and the navigation ask for."""
    app.add_template_global(second_opinion)
    app.jinja_env.globals |= {
        "max_reason_characters": MAX_REASON_CHARACTERS,
        "max_answers": MOST_ANSWERS,
        "settlement_words": FOUND,
        "opinion_words": OPINIONS,
        "verdict_words": LABELS,
    }


def _contest_page(analysis: Analysis, form: Form) -> str:
    return render_template("reviews/contest.html", analysis=analysis, form=form)


def _blind_page(case_id: UUID, form: Form) -> str:
    case = services().reviews.blind(viewer(), case_id)
    return render_template(
        "reviews/case.html",
        case=case,
        form=form,
        title=title_of(case.modality),
        noun=noun_of(case.modality),
        max_comment_characters=MAX_COMMENT_CHARACTERS,
    )


def _closed_page(closed: ClosedCase) -> str:
    return render_template(
        "reviews/closed.html",
        closed=closed,
        title=title_of(closed.case.modality),
        noun=noun_of(closed.case.modality),
    )


def _back(analysis_id: UUID, message: str, category: str = "done") -> ResponseReturnValue:
    flash(message, category)
    return redirect(
        url_for("analyses.show", analysis_id=analysis_id, _anchor="second-opinion"), 303
    )
