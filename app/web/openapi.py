"""The description of the API in OpenAPI 3.1, as served at ``/api/v1/openapi.json``."""

from typing import Any


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


def _problems(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": "#/components/responses/Problem"} for status in ("401", *statuses)}


def _operation(name: str, summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": responses, **more}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _json_body(schema)}


def _whole_number(name: str, high: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": 1}
    return {"name": name, "in": "query", "schema": schema | ({"maximum": high} if high else {})}


SCORE = {"minimum": 0, "maximum": 1}
DATE_TIME = {"type": "string", "format": "date-time"}
UUID_SCHEMA = {"type": "string", "format": "uuid"}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
PICTURE = {"description": "A picture.", "content": {"image/png": {}}}

WEIGHTS = {
    "type": ["object", "null"],
    "properties": {"name": {"type": "string"}, "sha256": DIGEST},
}
GATE = {
    "type": ["object", "null"],
    "description": "Whether the image looks like such a scan; null where there is no gate.",
    "properties": {
        "likeness": {"type": "number", **SCORE},
        "threshold": {"type": "number", **SCORE},
        "looks_right": {"type": "boolean"},
        "overridden": {"type": "boolean"},
        "sha256": DIGEST,
    },
}
STABILITY = {
    "type": ["object", "null"],
    "description": (
        "What harmless variants of the scan got; null where the scan had no verdict to shake."
    ),
    "properties": {
        "stable": {"type": "boolean"},
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", **SCORE},
        },
    },
}
ANALYSIS = {
    "type": "object",
    "properties": {
        "id": UUID_SCHEMA,
        "modality": {"type": "string", "examples": ["lung_ct"]},
        "status": {"enum": ["queued", "running", "done", "failed"]},
        "created": DATE_TIME,
        "verdict": {"enum": ["real", "fake", "inconclusive", "not_judged", None]},
        "probability_fake": _nullable("number", **SCORE),
        "threshold": _nullable("number", **SCORE),
        "inconclusive_band": _nullable("array", items={"type": "number"}),
        "reasons": {"type": "array", "items": {"type": "string"}},
        "image_sha256": DIGEST,
        "weights": WEIGHTS,
        "gate": GATE,
        "stability": STABILITY,
        "override_gate": {"type": "boolean", "description": "Judge it whatever the gate says."},
        "device": _nullable("string"),
        "inference_ms": _nullable("number"),
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
        "error": {"type": "string", "description": "Only if the analysis failed."},
    },
}
MODALITY = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "title": {"type": "string"},
        "summary": {"type": "string"},
        "available": {"type": "boolean"},
        "reason": _nullable("string"),
        "weights": WEIGHTS,
        "gate": {"type": ["object", "null"], "properties": {"sha256": DIGEST}},
    },
}
HISTORY = {
    "type": "object",
    "properties": {
        "analyses": {"type": "array", "items": _ref("Analysis")},
        "page": {"type": "integer"},
        "pages": {"type": "integer"},
        "per_page": {"type": "integer"},
        "total": {"type": "integer"},
    },
}
PROBLEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["modality", "image"],
                "properties": {
                    "modality": {"type": "string"},
                    "image": {"type": "string", "contentMediaType": "application/octet-stream"},
                    "override_gate": {
                        "type": "boolean",
                        "default": False,
                        "description": "Judge it even if it does not look like such a scan.",
                    },
                },
            }
        }
    },
}

PATHS: dict[str, Any] = {
    "/modalities": {
        "get": _operation(
            "listModalities",
            "The kinds of scan, and whether each can be judged now",
            {
                "200": _answer(
                    "All modalities.",
                    {
                        "type": "object",
                        "properties": {"modalities": {"type": "array", "items": _ref("Modality")}},
                    },
                ),
                **_problems(),
            },
        )
    },
    "/analyses": {
        "post": _operation(
            "createAnalysis",
            "Judge one scan (PNG, JPEG, TIFF, BMP or DICOM)",
            {
                "201": _answer("The verdict, or why the analysis failed.", _ref("Analysis")),
                "202": _answer("It takes longer; ask again at Location.", _ref("Analysis")),
                **_problems("413", "415", "422", "503"),
            },
            requestBody=UPLOAD,
        ),
        "get": _operation(
            "listAnalyses",
            "Your analyses, newest first",
            {"200": _answer("One page.", _ref("History")), **_problems()},
            parameters=[_whole_number("page"), _whole_number("per_page", 100)],
        ),
    },
    "/analyses/{id}": {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": UUID_SCHEMA}],
        "get": _operation(
            "getAnalysis",
            "One analysis",
            {"200": _answer("The analysis.", _ref("Analysis")), **_problems("404")},
        ),
        "delete": _operation(
            "deleteAnalysis",
            "Delete an analysis with its pictures",
            {"204": {"description": "Deleted."}, **_problems("404")},
        ),
    },
    **{
        f"/analyses/{{id}}/{picture}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": UUID_SCHEMA}],
            "get": _operation(f"get{name}", summary, {"200": PICTURE, **_problems("404")}),
        }
        for picture, name, summary in (
            ("image", "Image", "The scan as it was judged"),
            ("heatmap", "Heatmap", "The evidence for a fake, to be laid over the scan"),
        )
    },
}

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
    "paths": PATHS,
    "components": {
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Made on the account page.",
            }
        },
        "responses": {
            "Problem": {
                "description": "What went wrong, in words.",
                "content": {"application/problem+json": {"schema": _ref("Problem")}},
            }
        },
        "schemas": {
            "Analysis": ANALYSIS,
            "History": HISTORY,
            "Modality": MODALITY,
            "Problem": PROBLEM,
        },
    },
}
