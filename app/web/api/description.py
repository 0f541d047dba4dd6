"""The description of the API in OpenAPI 3.1, as served at ``/api/v1/openapi.json``."""

from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.web.api.blueprint import bp
from app.web.api.operations import OPERATIONS, SCOPES, Operation
from app.web.api.schemas import SCHEMAS, STRING, UUID_SCHEMA, ref
from app.web.guards import public

PROBLEMS = {
    "400": "The request cannot be read.",
    "401": "There is no token, or it is unknown, revoked or expired.",
    "403": "The token may not do this.",
    "404": "There is none, or it is not yours to see.",
    "413": "It is too large.",
    "415": "It is of a kind that is not taken here.",
    "422": "Something in it cannot be; the answer says what.",
    "429": "Your tokens together were used too often; Retry-After says when to go on.",
    "503": "Not now, since too much is waiting or no detector serves this kind of scan.",
}
ID = [{"name": "id", "in": "path", "required": True, "schema": UUID_SCHEMA}]


def _path(path: str, operations: dict[str, Operation]) -> dict[str, Any]:
    described = {method: operation.described() for method, operation in operations.items()}
    return ({"parameters": ID} if "{id}" in path else {}) | described


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Veriscan",
        "version": "1",
        "description": (
            "Tells whether a medical scan is authentic or a deepfake. "
            "Research use only. Not a medical device."
        ),
    },
    "servers": [{"url": "/api/v1"}],
    "security": [{"token": []}],
    "paths": {path: _path(path, operations) for path, operations in OPERATIONS.items()},
    "components": {
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Made on the account page, good for some of these scopes: "
                + "; ".join(f"{scope}: {words}" for scope, words in SCOPES.items())
                + ".",
            }
        },
        "headers": {
            "Location": {"schema": STRING, "description": "Where to ask again."},
            "RetryAfter": {
                "schema": {"type": "integer", "minimum": 1},
                "description": "In how many seconds to ask again.",
            },
        },
        "responses": {
            f"Problem{status}": {
                "description": words,
                "content": {"application/problem+json": {"schema": ref("Problem")}},
            }
            for status, words in PROBLEMS.items()
        },
        "schemas": SCHEMAS,
    },
}


@bp.get("/openapi.json")
@public
def openapi() -> ResponseReturnValue:
    """Describe this API for machines."""
    return jsonify(DOCUMENT)
