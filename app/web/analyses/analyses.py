"""Scans and verdicts: the upload, the waiting and the verdict."""

from typing import Any
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    flash,
    get_template_attribute,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from app.records import Analysis
from app.web.analyses.verdict_page import verdict_page
from app.web.context import services, viewer
from app.web.guards import signed_in
from app.web.history.history import history_page
from app.web.offers import noun_of, title_of
from app.web.uploads.form import empty_form, sent_form
from app.web.uploads.progress_words import study_badge, waiting_badge
from app.web.wording import Badge

MAX_STATES = 200

bp = Blueprint("analyses", __name__, url_prefix="/analyses")


@bp.get("")
@signed_in
def history() -> ResponseReturnValue:
    """List the user's analyses, filtered and sorted as the address says."""
    return history_page()


@bp.get("/new")
@signed_in
def new() -> ResponseReturnValue:
    """Show the upload form."""
    return empty_form()


@bp.post("")
@signed_in
def create() -> ResponseReturnValue:
    """Take scans in; wait for the verdict on a single one."""
    return sent_form()


@bp.get("/states")
@signed_in
def states() -> ResponseReturnValue:
    """Tell a list how far those of its analyses and studies are that were not finished."""
    ids, studies = (request.args.getlist(n, type=UUID)[:MAX_STATES] for n in ("id", "study"))
    parts = [_state(analysis) for analysis in services().analyses.visible(viewer(), ids)]
    parts += [
        _part(found.study.id, study_badge(found), is_final=found.is_final)
        for found in services().intake.studies.visible(viewer(), studies)
    ]
    return jsonify(is_final=all(part["is_final"] for part in parts), parts=parts)


@bp.get("/<uuid:analysis_id>")
@signed_in
def show(analysis_id: UUID) -> ResponseReturnValue:
    """Show the verdict, or how far the analysis is."""
    analysis = services().analyses.open(viewer(), analysis_id)
    if analysis.finding is not None:
        return verdict_page(analysis, analysis.finding)
    template = "analyses/failed.html" if analysis.status.is_final else "analyses/waiting.html"
    return render_template(
        template,
        analysis=analysis,
        title=title_of(analysis.modality),
        noun=noun_of(analysis.modality),
        words=waiting_badge(analysis, services().analyses.place_in_line(analysis_id)).label,
    )


@bp.get("/<uuid:analysis_id>/image")
@signed_in
def image(analysis_id: UUID) -> ResponseReturnValue:
    """Return the scan as it was judged."""
    return png(services().analyses.scan_png(viewer(), analysis_id))


@bp.get("/<uuid:analysis_id>/thumbnail")
@signed_in
def thumbnail(analysis_id: UUID) -> ResponseReturnValue:
    """Return the scan small, for lists."""
    return png(services().analyses.thumbnail_png(viewer(), analysis_id))


@bp.get("/<uuid:analysis_id>/heatmap")
@signed_in
def heatmap(analysis_id: UUID) -> ResponseReturnValue:
    """Return the evidence for a fake, to be laid over the scan."""
    return png(services().analyses.heatmap_png(viewer(), analysis_id))


@bp.post("/<uuid:analysis_id>/judge-anyway")
@signed_in
def judge_anyway(analysis_id: UUID) -> ResponseReturnValue:
    """Judge a scan that does not look like its kind, because its owner says so."""
    if request.form.get("sure") != "yes":
        flash("Tick the box first: it says what such a verdict is worth.", "error")
        return redirect(url_for("analyses.show", analysis_id=analysis_id), 303)
    analysis = services().analyses.judge_anyway(viewer(), analysis_id)
    services().analyses.wait(analysis.id, services().settings.verdict_wait_s)
    return redirect(url_for("analyses.show", analysis_id=analysis.id), 303)


@bp.post("/<uuid:analysis_id>/delete")
@signed_in
def delete(analysis_id: UUID) -> ResponseReturnValue:
    """Delete an analysis with its pictures."""
    services().analyses.delete(viewer(), analysis_id)
    flash("The analysis and its scan are deleted.", "done")
    return redirect(url_for("analyses.history"), 303)


def png(data: bytes) -> Response:
    """Return a picture that we encoded ourselves."""
    return Response(data, mimetype="image/png")


def _state(analysis: Analysis) -> dict[str, Any]:
    badge = waiting_badge(analysis, services().analyses.place_in_line(analysis.id))
    return _part(analysis.id, badge, is_final=analysis.status.is_final)


def _part(key: UUID, badge: Badge, *, is_final: bool) -> dict[str, Any]:
    draw = get_template_attribute("_macros.html", "verdict_badge")
    return {"key": str(key), "is_final": is_final, "words": badge.label, "html": draw(badge)}
