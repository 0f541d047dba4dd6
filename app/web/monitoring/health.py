"""For machines that watch this one: whether the process lives, and whether it can judge."""

from contextlib import suppress

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.engine.protocol import MeasuredEngine
from app.errors import VeriscanError
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
    """Say whether scans can be judged and kept; 503 when not."""
    with suppress(VeriscanError):  # what does not start is found not to be ready
        services().start()
    readiness = services().readiness.check()
    engine, availability = services().engine, services().analyses.modalities()
    figures = engine.figures() if isinstance(engine, MeasuredEngine) else None
    body = {
        "status": "ready" if readiness.is_ready else "unavailable",
        "problems": readiness.problems,
        "device": engine.device,
        "gpu_memory_shortages": figures.memory_shortages if figures else 0,
        "queue_length": engine.queue_length(),
        "modalities": {
            key: {"available": item.is_available, "reason": item.reason}
            for key, item in availability.items()
        },
    }
    return jsonify(body), 200 if readiness.is_ready else 503
