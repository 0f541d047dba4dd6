"""For machines that watch this one: whether the process lives, and whether it can judge."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.web.context import services
from app.web.guards import public

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """Say that the process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """Say which modalities can be judged; 503 when none can."""
    availability = services().analyses.modalities()
    is_ready = any(item.is_available for item in availability.values())
    body = {
        "status": "ready" if is_ready else "unavailable",
        "device": services().engine.device,
        "queue_length": services().engine.queue_length(),
        "modalities": {
            key: {"available": item.is_available, "reason": item.reason}
            for key, item in availability.items()
        },
    }
    return jsonify(body), 200 if is_ready else 503
