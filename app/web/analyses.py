"""Scans and verdicts: the upload, the waiting, the verdict and the history."""

from uuid import UUID

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app.detection.verdict import Finding
from app.errors import ModalityUnavailableError, QueueFullError, UnknownModalityError
from app.records import Analysis
from app.services.judging import SYNTHETIC_REASON
from app.web.analysis_rows import rows_of
from app.web.context import services, viewer
from app.web.errors import status_of
from app.web.forms import Form
from app.web.guards import signed_in
from app.web.offers import noun_of, offers, serving_card, title_of
from app.web.performance import figures_by_generator, rates_of
from app.web.score_drawing import draw
from app.web.uploads import MAX_FILES, Intake, take_in
from app.web.wording import badge_of, certainty, gate_words, headline, stability_words

UPLOAD_FIELDS = {"modality": "the kind of scan", "images": "a scan"}
PER_PAGE = 20

bp = Blueprint("analyses", __name__, url_prefix="/analyses")


@bp.get("")
@signed_in
def history() -> ResponseReturnValue:
    """List the user's analyses, newest first."""
    number = request.args.get("page", 1, type=int)
    page = services().analyses.history(viewer(), page=max(1, number), per_page=PER_PAGE)
    return render_template(
        "analyses/history.html",
        page=page,
        rows=rows_of(page.analyses),
        is_waiting=any(not analysis.status.is_final for analysis in page.analyses),
    )


@bp.get("/new")
@signed_in
def new() -> ResponseReturnValue:
    """Show the upload form."""
    return _upload_page(Form(UPLOAD_FIELDS, request.args))


@bp.post("")
@signed_in
def create() -> ResponseReturnValue:
    """Take scans in; wait for the verdict on a single one."""
    form = Form(UPLOAD_FIELDS, request.form)
    files = [file for file in request.files.getlist("images") if file.filename]
    _check(form, files)
    if form.errors:
        return _upload_page(form), 422
    try:
        intake = take_in(viewer(), form["modality"], files)
    except (UnknownModalityError, ModalityUnavailableError) as error:
        form.refuse("modality", str(error))
        return _upload_page(form), status_of(error)
    except QueueFullError as error:
        form.refuse("", str(error))
        return _upload_page(form), 503, {"Retry-After": str(error.retry_after_s)}
    return _after_intake(form, intake, is_single=len(files) == 1)


@bp.get("/<uuid:analysis_id>")
@signed_in
def show(analysis_id: UUID) -> ResponseReturnValue:
    """Show the verdict, or how far the analysis is."""
    analysis = services().analyses.get(viewer(), analysis_id)
    if analysis.finding is not None:
        return _verdict_page(analysis, analysis.finding)
    template = "analyses/failed.html" if analysis.status.is_final else "analyses/waiting.html"
    return render_template(
        template,
        analysis=analysis,
        title=title_of(analysis.modality),
        noun=noun_of(analysis.modality),
        queue_length=services().engine.queue_length(),
    )


@bp.get("/<uuid:analysis_id>/status")
@signed_in
def status(analysis_id: UUID) -> ResponseReturnValue:
    """Tell the waiting page how far the analysis is."""
    analysis = services().analyses.get(viewer(), analysis_id)
    return jsonify(
        status=analysis.status.value,
        is_final=analysis.status.is_final,
        queue_length=services().engine.queue_length(),
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


def _check(form: Form, files: list[FileStorage]) -> None:
    if not form["modality"]:
        form.refuse("modality", "Choose the kind of scan.")
    if not files:
        form.refuse("images", "Choose a file.")
    elif len(files) > MAX_FILES:
        form.refuse("images", f"Choose at most {MAX_FILES} files at once.")


def _after_intake(form: Form, intake: Intake, *, is_single: bool) -> ResponseReturnValue:
    if is_single and intake.accepted:
        (analysis,) = intake.accepted
        services().analyses.wait(analysis.id, services().settings.verdict_wait_s)
        return redirect(url_for("analyses.show", analysis_id=analysis.id), 303)
    if not intake.refused:
        flash(f"{len(intake.accepted)} scans were taken in. Open one to see its verdict.", "done")
        return redirect(url_for("analyses.history"), 303)
    if is_single:
        form.refuse("images", str(intake.refused[0].error))
    else:
        form.refuse("images", f"{len(intake.refused)} of the files could not be taken in.")
    return _upload_page(form, intake, is_single=is_single), status_of(intake.refused[0].error)


def _upload_page(form: Form, intake: Intake | None = None, *, is_single: bool = True) -> str:
    choices = offers()
    available = [offer.spec.key for offer in choices if offer.is_available]
    chosen = form["modality"] or (available[0] if len(available) == 1 else "")
    return render_template(
        "analyses/new.html",
        form=form,
        offers=choices,
        chosen=chosen,
        can_judge=bool(available),
        accepted=rows_of(intake.accepted) if intake else [],
        refused=intake.refused if intake and not is_single else (),
        max_upload_bytes=services().settings.max_upload_bytes,
        max_files=MAX_FILES,
    )


def _verdict_page(analysis: Analysis, finding: Finding) -> str:
    card = serving_card(analysis.modality, finding.weights_sha256)
    noun = noun_of(analysis.modality)
    return render_template(
        "analyses/verdict.html",
        analysis=analysis,
        finding=finding,
        title=title_of(analysis.modality),
        noun=noun,
        headline=headline(finding.verdict, noun),
        certainty=certainty(finding),
        badge=badge_of(analysis),
        drawing=draw(finding) if finding.probability_fake is not None else None,
        gate_words=gate_words(finding.gate, noun),
        stability_words=stability_words(finding.stability),
        # Said at the top of the page already.
        reasons=[reason for reason in finding.reasons if reason != SYNTHETIC_REASON],
        card=card,
        rates=rates_of(card) if card else [],
        generators=figures_by_generator(card) if card else [],
        is_own=analysis.user_id == viewer().id,
    )
