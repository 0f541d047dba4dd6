"""Batches: several files in one request, with a result for each of them."""

from uuid import UUID

from flask import jsonify, request
from flask.typing import ResponseReturnValue

from app.records import Scope
from app.web.api.blueprint import bp, told_to_wait
from app.web.api.bodies import upload_body
from app.web.api.received import check_form, sent_modality
from app.web.context import services, viewer
from app.web.errors import problem
from app.web.guards import token_required
from app.web.uploads.form import incoming, released


@bp.post("/uploads")
@token_required(Scope.ANALYSE)
def create_upload() -> ResponseReturnValue:
    """Take several files in, also archives and series; what became of each is told later."""
    check_form("modality", "images")
    modality, files = sent_modality(), request.files.getlist("images")
    if not files:
        return problem(422, "Send the scans as files in the field “images”, once for each.")
    uploads = services().intake.uploads
    upload = uploads.begin(viewer(), modality)
    with released([incoming(file) for file in files]) as scans:
        uploads.add_later(viewer(), upload.id, scans)
    body = upload_body(uploads.progress(viewer(), upload.id))
    response = jsonify(body)
    response.status_code = 202
    response.headers["Location"] = body["links"]["self"]
    return told_to_wait(response, is_final=False)


@bp.get("/uploads/<uuid:upload_id>")
@token_required(Scope.READ)
def show_upload(upload_id: UUID) -> ResponseReturnValue:
    """Tell what became of each file of an upload so far."""
    progress = services().intake.uploads.progress(viewer(), upload_id)
    return told_to_wait(jsonify(upload_body(progress)), is_final=progress.is_final)
