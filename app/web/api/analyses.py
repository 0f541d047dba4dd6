"""Analyses: one scan, one verdict."""

from uuid import UUID

from flask import Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from app.records import Scope
from app.web.analyses.analyses import png
from app.web.api.blueprint import bp, told_to_wait
from app.web.api.bodies import analysis_body
from app.web.api.listing import cursor_of, read_listing
from app.web.api.received import check_form, sent_flag, sent_modality
from app.web.context import services, viewer
from app.web.errors import problem
from app.web.guards import token_required
from app.web.reports.reports import json_of, pdf_of
from app.web.uploads.uploads import read_upload


@bp.post("/analyses")
@token_required(Scope.ANALYSE)
def create() -> ResponseReturnValue:
    """Judge one scan: 201 with the verdict, or 202 when it takes longer than we may wait."""
    services().analyses.check_room()  # before the form is read, which costs more than to refuse it
    check_form("modality", "image", "override_gate")
    modality, file = sent_modality(), request.files.get("image")
    if file is None:
        return problem(422, "Send the scan as a file in the field “image”.")
    analysis = services().analyses.submit(
        viewer(), modality, read_upload(file), override_gate=sent_flag("override_gate")
    )
    analysis = services().analyses.wait(analysis.id, services().settings.verdict_wait_s)
    body, is_final = analysis_body(analysis), analysis.status.is_final
    response = jsonify(body)
    response.status_code = 201 if is_final else 202
    response.headers["Location"] = body["links"]["self"]
    return told_to_wait(response, is_final=is_final)


@bp.get("/analyses")
@token_required(Scope.READ)
def history() -> ResponseReturnValue:
    """List the user's analyses that fit the filters, with the address of the next page."""
    listing = read_listing()
    sheet = services().history.sheet(
        viewer(), listing.wanted, listing.order, place=listing.place, size=listing.size
    )
    given = request.args.to_dict() | ({"after": cursor_of(sheet.after)} if sheet.after else {})
    return jsonify(
        analyses=[analysis_body(line.analysis) for line in sheet.lines],
        total=sheet.total,
        next=url_for("api.history", **given) if sheet.after else None,  # type: ignore[arg-type]  # any text is a query
    )


@bp.get("/analyses/<uuid:analysis_id>")
@token_required(Scope.READ)
def show(analysis_id: UUID) -> ResponseReturnValue:
    """Return one analysis."""
    analysis = services().analyses.open(viewer(), analysis_id)
    return told_to_wait(jsonify(analysis_body(analysis)), is_final=analysis.status.is_final)


@bp.delete("/analyses/<uuid:analysis_id>")
@token_required(Scope.DELETE)
def delete(analysis_id: UUID) -> ResponseReturnValue:
    """Delete one analysis with its pictures."""
    services().analyses.delete(viewer(), analysis_id)
    return Response(status=204)


@bp.get("/analyses/<uuid:analysis_id>/image")
@token_required(Scope.READ)
def image(analysis_id: UUID) -> ResponseReturnValue:
    """Return the scan as it was judged, as PNG."""
    return png(services().analyses.scan_png(viewer(), analysis_id))


@bp.get("/analyses/<uuid:analysis_id>/heatmap")
@token_required(Scope.READ)
def heatmap(analysis_id: UUID) -> ResponseReturnValue:
    """Return the evidence for a fake, as PNG to be laid over the scan."""
    return png(services().analyses.heatmap_png(viewer(), analysis_id))


@bp.get("/analyses/<uuid:analysis_id>/report.json")
@token_required(Scope.READ)
def report(analysis_id: UUID) -> ResponseReturnValue:
    """Return the signed report on an analysis."""
    return json_of(analysis_id)


@bp.get("/analyses/<uuid:analysis_id>/report.pdf")
@token_required(Scope.READ)
def report_pdf(analysis_id: UUID) -> ResponseReturnValue:
    """Return the signed report on an analysis as PDF."""
    return pdf_of(analysis_id)
