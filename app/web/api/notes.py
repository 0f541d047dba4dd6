"""Notes and tags of one's own."""

from typing import Any
from uuid import UUID

from flask import jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import UnsupportedMediaType

from app.errors import ApiQueryInvalidError
from app.records import Note, Scope
from app.web.api.blueprint import bp
from app.web.context import services, viewer
from app.web.guards import token_required

FIELDS = {"text", "tags"}
BETWEEN_TAGS = frozenset(",\n")
EXPECTED = "Send a JSON object with “text”, a string, and “tags”, a list of strings without commas."


@bp.get("/analyses/<uuid:analysis_id>/note")
@token_required(Scope.READ)
def note(analysis_id: UUID) -> ResponseReturnValue:
    """Return the user's own note on an analysis; an empty one where there is none."""
    return jsonify(_body(services().notes.get(viewer(), analysis_id)))


@bp.put("/analyses/<uuid:analysis_id>/note")
@token_required(Scope.ANNOTATE)
def put_note(analysis_id: UUID) -> ResponseReturnValue:
    """Keep a note in place of the one that there may be."""
    text, tags = _sent()
    kept = services().notes.save(viewer(), analysis_id, text=text, tags=",".join(tags))
    return jsonify(_body(kept))


def _sent() -> tuple[str, list[str]]:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the note as application/json.")
    sent = request.get_json(silent=True)
    if not isinstance(sent, dict) or sent.keys() != FIELDS or not isinstance(sent["text"], str):
        raise ApiQueryInvalidError(EXPECTED)
    tags = sent["tags"]
    if not isinstance(tags, list) or not all(map(_is_tag, tags)):
        raise ApiQueryInvalidError(EXPECTED)
    return sent["text"], tags


def _is_tag(value: object) -> bool:
    return isinstance(value, str) and not BETWEEN_TAGS.intersection(value)


def _body(kept: Note) -> dict[str, Any]:
    return {"text": kept.text, "tags": list(kept.tags)}
