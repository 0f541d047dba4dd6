"""Studies: one verdict on a series, and a strip of its slices with a verdict each."""

from uuid import UUID

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.web.analyses.study_page import band_of, rows_of_slices, study_headline, study_reasons
from app.web.context import services, viewer
from app.web.guards import signed_in
from app.web.offers import noun_of, title_of
from app.web.uploads.progress_words import study_words

BY_POSITION = "position"

bp = Blueprint("studies", __name__, url_prefix="/analyses/studies")


@bp.get("/<uuid:study_id>")
@signed_in
def show(study_id: UUID) -> ResponseReturnValue:
    """Show the verdict on a study and on its slices, the most suspicious slice first."""
    page = services().intake.studies.open(viewer(), study_id)
    study, finding = page.summary.study, page.summary.finding
    is_by_position = request.args.get("order") == BY_POSITION
    slices = page.slices if is_by_position else page.most_suspicious_first
    noun = noun_of(study.modality)
    return render_template(
        "analyses/study.html",
        study=study,
        summary=page.summary,
        finding=finding,
        headline=study_headline(finding) if finding else None,
        reasons=study_reasons(finding, noun) if finding else (),
        words=study_words(page.summary),
        band=band_of(page.slices),
        rows=rows_of_slices(slices, page.names),
        is_by_position=is_by_position,
        title=title_of(study.modality),
        noun=noun,
        is_own=study.user_id == viewer().id,
    )


@bp.get("/<uuid:study_id>/status")
@signed_in
def status(study_id: UUID) -> ResponseReturnValue:
    """Tell how far the slices of a study are."""
    summary = services().intake.studies.summary(viewer(), study_id)
    return jsonify(is_final=summary.is_final, words=study_words(summary), parts=[])


@bp.post("/<uuid:study_id>/delete")
@signed_in
def delete(study_id: UUID) -> ResponseReturnValue:
    """Delete a study with all its slices."""
    services().intake.studies.delete(viewer(), study_id)
    flash("The study and all its slices are deleted.", "done")
    return redirect(url_for("analyses.history"), 303)
