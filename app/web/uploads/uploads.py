"""Uploads: files come in one by one from a script, and a page says what became of each."""

from typing import Any
from uuid import UUID

from flask import (
    Blueprint,
    flash,
    get_template_attribute,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app.errors import VeriscanError
from app.records import FileState, UploadedFile
from app.services.uploads.progress import UploadLine
from app.web.context import services, viewer
from app.web.errors import problem, refusal
from app.web.guards import signed_in
from app.web.offers import title_of
from app.web.uploads.form import incoming, released
from app.web.uploads.progress_words import line_words, upload_words
from app.web.wording import Badge

bp = Blueprint("uploads", __name__, url_prefix="/analyses/uploads")


def read_upload(file: FileStorage) -> bytes:
    """Return the file's bytes; of a file that is too large, enough that it is seen to be."""
    return file.stream.read(services().settings.max_upload_bytes + 1)


@bp.post("")
@signed_in
def begin() -> ResponseReturnValue:
    """Begin an upload for a script on the page; tells where its files go."""
    try:
        upload = services().intake.uploads.begin(viewer(), request.form.get("modality", ""))
    except VeriscanError as error:
        return refusal(error)
    return jsonify(
        files=url_for("uploads.add", upload_id=upload.id),
        status=url_for("uploads.status", upload_id=upload.id),
        page=url_for("uploads.show", upload_id=upload.id),
    )


@bp.post("/<uuid:upload_id>/files")
@signed_in
def add(upload_id: UUID) -> ResponseReturnValue:
    """Take one file in; waits for its verdict where it is the only one."""
    file = request.files.get("image")
    if file is None:
        return problem(422, "Send the scan as a file in the field “image”.")
    try:
        number = max(0, request.form.get("number", 0, type=int))
        with released([incoming(file, number)]) as (scan,):
            taken = services().intake.uploads.add(viewer(), upload_id, scan)
    except VeriscanError as error:
        return refusal(error)
    if taken.analysis_id is not None and request.form.get("is_only") == "yes":
        services().analyses.wait(taken.analysis_id, services().settings.verdict_wait_s)
    return jsonify(_file_json(taken))


@bp.get("/<uuid:upload_id>")
@signed_in
def show(upload_id: UUID) -> ResponseReturnValue:
    """Show what became of each file; where that is one thing alone, show that."""
    progress = services().intake.uploads.progress(viewer(), upload_id)
    only = progress.only_line
    if only is not None and only.analysis is not None:
        return redirect(url_for("analyses.show", analysis_id=only.analysis.id), 303)
    if only is not None and only.study is not None:
        return redirect(url_for("studies.show", study_id=only.study.study.id), 303)
    return render_template(
        "analyses/upload.html",
        upload=progress.upload,
        progress=progress,
        lines=[(line, _words(line)) for line in progress.lines],
        words=upload_words(progress),
        title=title_of(progress.upload.modality),
    )


@bp.get("/<uuid:upload_id>/status")
@signed_in
def status(upload_id: UUID) -> ResponseReturnValue:
    """Tell how far all files of an upload are."""
    progress = services().intake.uploads.progress(viewer(), upload_id)
    return jsonify(
        is_final=progress.is_final,
        words=upload_words(progress),
        parts=[_part(line) for line in progress.lines],
    )


@bp.post("/<uuid:upload_id>/forget")
@signed_in
def forget(upload_id: UUID) -> ResponseReturnValue:
    """Forget the names of an upload's files; the analyses stay."""
    services().intake.uploads.forget(viewer(), upload_id)
    flash("The names of the files are forgotten. The analyses are in the history.", "done")
    return redirect(url_for("analyses.history"), 303)


def _words(line: UploadLine) -> Badge:
    place = services().analyses.place_in_line(line.analysis.id) if line.analysis else 0
    return line_words(line, place)


def _part(line: UploadLine) -> dict[str, Any]:
    badge = _words(line)
    draw = get_template_attribute("analyses/_upload_lines.html", "upload_line")
    return {
        "key": str(line.key),
        "label": badge.label,
        "is_final": line.is_final,
        "html": draw(line, badge),
    }


def _file_json(file: UploadedFile) -> dict[str, Any]:
    return {
        "key": str(file.id),
        "state": file.state.value,
        "problem": file.problem,
        "is_refused": file.state is FileState.REFUSED,
    }
