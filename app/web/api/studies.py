"""Studies: the slices of a series, and one verdict on all of them."""

from uuid import UUID

from flask import Response, jsonify
from flask.typing import ResponseReturnValue

from app.records import Scope
from app.web.api.blueprint import bp, told_to_wait
from app.web.api.bodies import study_body
from app.web.context import services, viewer
from app.web.guards import token_required


@bp.get("/studies/<uuid:study_id>")
@token_required(Scope.READ)
def show_study(study_id: UUID) -> ResponseReturnValue:
    """Return a study with its verdict and its slices."""
    page = services().intake.studies.open(viewer(), study_id)
    return told_to_wait(jsonify(study_body(page)), is_final=page.summary.is_final)


@bp.delete("/studies/<uuid:study_id>")
@token_required(Scope.DELETE)
def delete_study(study_id: UUID) -> ResponseReturnValue:
    """Delete a study with all its slices."""
    services().intake.studies.delete(viewer(), study_id)
    return Response(status=204)
