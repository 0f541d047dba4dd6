"""The API for scripts: the same analyses, as JSON, by bearer token."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from app.detection.spec import modalities
from app.records import Analysis
from app.services.reports import analysis_json
from app.web.analyses import png
from app.web.context import services, viewer
from app.web.errors import problem
from app.web.guards import public, token_required
from app.web.offers import Offer, offers
from app.web.openapi import DOCUMENT
from app.web.uploads import read_upload

PER_PAGE = 20
MAX_PER_PAGE = 100
FLAGS = {"true": True, "false": False}

bp = Blueprint("api", __name__, url_prefix="/api/v1")


@bp.get("/openapi.json")
@public
def openapi() -> ResponseReturnValue:
    """Describe this API for machines."""
    return jsonify(DOCUMENT)


@bp.get("/modalities")
@token_required
def list_modalities() -> ResponseReturnValue:
    """List the kinds of scan and whether each can be judged now."""
    return jsonify(modalities=[_modality_json(offer) for offer in offers()])


@bp.post("/analyses")
@token_required
def create() -> ResponseReturnValue:
    """Judge one scan: 201 with the verdict, or 202 when it takes longer than we may wait."""
    modality, file = request.form.get("modality", ""), request.files.get("image")
    if modality not in modalities():
        known = ", ".join(modalities())
        return problem(422, f"Give the field “modality” one of these values: {known}.")
    if file is None:
        return problem(422, "Send the scan as a file in the field “image”.")
    override_gate = request.form.get("override_gate", "false").strip().lower()
    if override_gate not in FLAGS:
        return problem(422, "Give the field “override_gate” the value true or false.")
    analysis = services().analyses.submit(
        viewer(), modality, read_upload(file), override_gate=FLAGS[override_gate]
    )
    analysis = services().analyses.wait(analysis.id, services().settings.verdict_wait_s)
    body = _json(analysis)
    status = 201 if analysis.status.is_final else 202
    return jsonify(body), status, {"Location": body["links"]["self"]}


@bp.get("/analyses")
@token_required
def history() -> ResponseReturnValue:
    """List the user's analyses, newest first."""
    number = max(1, request.args.get("page", 1, type=int))
    per_page = min(max(1, request.args.get("per_page", PER_PAGE, type=int)), MAX_PER_PAGE)
    page = services().analyses.history(viewer(), page=number, per_page=per_page)
    return jsonify(
        analyses=[_json(analysis) for analysis in page.analyses],
        page=page.page,
        pages=page.pages,
        per_page=page.per_page,
        total=page.total,
    )


@bp.get("/analyses/<uuid:analysis_id>")
@token_required
def show(analysis_id: UUID) -> ResponseReturnValue:
    """Return one analysis."""
    return jsonify(_json(services().analyses.get(viewer(), analysis_id)))


@bp.delete("/analyses/<uuid:analysis_id>")
@token_required
def delete(analysis_id: UUID) -> ResponseReturnValue:
    """Delete one analysis with its pictures."""
    services().analyses.delete(viewer(), analysis_id)
    return Response(status=204)


@bp.get("/analyses/<uuid:analysis_id>/image")
@token_required
def image(analysis_id: UUID) -> ResponseReturnValue:
    """Return the scan as it was judged, as PNG."""
    return png(services().analyses.scan_png(viewer(), analysis_id))


@bp.get("/analyses/<uuid:analysis_id>/heatmap")
@token_required
def heatmap(analysis_id: UUID) -> ResponseReturnValue:
    """Return the evidence for a fake, as PNG to be laid over the scan."""
    return png(services().analyses.heatmap_png(viewer(), analysis_id))


def _json(analysis: Analysis) -> dict[str, Any]:
    links = {
        "self": url_for("api.show", analysis_id=analysis.id),
        "image": url_for("api.image", analysis_id=analysis.id),
        "heatmap": url_for("api.heatmap", analysis_id=analysis.id),
        "report": url_for("analyses.show", analysis_id=analysis.id),
    }
    if analysis.is_not_judged:
        del links["heatmap"]
    return analysis_json(analysis, links)


def _modality_json(offer: Offer) -> dict[str, Any]:
    card = offer.card
    return {
        "key": offer.spec.key,
        "title": offer.spec.title,
        "summary": offer.spec.summary,
        "available": offer.is_available,
        "reason": offer.reason,
        "weights": {"name": card.name, "sha256": card.sha256} if card else None,
        "gate": {"sha256": offer.gate_card.sha256} if offer.gate_card else None,
    }
