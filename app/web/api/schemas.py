"""The shapes of what the API takes and gives, as JSON Schema (the dialect of OpenAPI 3.1)."""

from typing import Any

from app.detection.spec import modalities
from app.services.analyses.notes import MAX_NOTE_CHARACTERS, MAX_TAG_CHARACTERS, MAX_TAGS

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Return what stands for one of the named shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(properties: Schema, *, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """Return an object with just these properties, all there but for the optional ones."""
    return {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
        "additionalProperties": False,
        **more,
    }


def or_null(schema: Schema) -> Schema:
    """Return a shape that may also be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema, **more: Any) -> Schema:
    """Return an array of one shape."""
    return {"type": "array", "items": items, **more}


STRING = {"type": "string"}
INTEGER = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
BOOLEAN = {"type": "boolean"}
SCORE = {"type": "number", "minimum": 0, "maximum": 1}
DATE_TIME = {"type": "string", "format": "date-time"}
UUID_SCHEMA = {"type": "string", "format": "uuid"}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MODALITY_KEY = {"type": "string", "enum": list(modalities())}
VERDICT = {"enum": ["real", "fake", "inconclusive", "not_judged", None]}
LINKS = {"type": "object", "additionalProperties": STRING}
REASONS = array(STRING)
SCAN_FILE = {"type": "string", "format": "binary"}

ANALYSIS = obj(
    {
        "id": UUID_SCHEMA,
        "modality": {"type": "string", "examples": ["lung_ct"]},
        "status": {"enum": ["queued", "running", "done", "failed"]},
        "created": DATE_TIME,
        "verdict": VERDICT,
        "probability_fake": or_null(SCORE),
        "threshold": or_null(SCORE),
        "inconclusive_band": or_null(array(NUMBER, minItems=2, maxItems=2)),
        "reasons": REASONS,
        "image_sha256": DIGEST,
        "weights": or_null(obj({"name": STRING, "sha256": DIGEST})),
        "gate": or_null(
            obj(
                {
                    "likeness": SCORE,
                    "threshold": SCORE,
                    "looks_right": BOOLEAN,
                    "overridden": BOOLEAN,
                    "sha256": DIGEST,
                },
                description="Whether the image looks like such a scan; null without a gate.",
            )
        ),
        "stability": or_null(
            obj(
                {
                    "stable": BOOLEAN,
                    "probabilities": {"type": "object", "additionalProperties": SCORE},
                },
                description="What harmless variants of the scan got; null without a verdict.",
            )
        ),
        "override_gate": {"type": "boolean", "description": "Judge it whatever the gate says."},
        "device": or_null(STRING),
        "inference_ms": or_null(NUMBER),
        "links": LINKS,
        "error": {"type": "string", "description": "Only if the analysis failed."},
    },
    optional=("error",),
)
MODALITY = obj(
    {
        "key": STRING,
        "title": STRING,
        "summary": STRING,
        "available": BOOLEAN,
        "reason": or_null(STRING),
        "weights": or_null(obj({"name": STRING, "sha256": DIGEST})),
        "gate": or_null(obj({"sha256": DIGEST})),
    }
)
HISTORY = obj(
    {
        "analyses": array(ref("Analysis")),
        "total": or_null(INTEGER | {"description": "How many fit; null where they are too many."}),
        "next": or_null(STRING | {"description": "Address of the next page; null on the last."}),
    }
)
STUDY_SUMMARY_PROPERTIES = {
    "id": UUID_SCHEMA,
    "modality": STRING,
    "created": DATE_TIME,
    "status": {"enum": ["running", "done"]},
    "total": INTEGER | {"description": "How many slices it has."},
    "finished": INTEGER | {"description": "How many of them are done or failed."},
    "verdict": VERDICT,
    "reasons": REASONS,
    "links": LINKS,
}
STUDY = obj(
    STUDY_SUMMARY_PROPERTIES
    | {
        "slices": array(
            obj(
                {
                    "number": {"type": "integer"},
                    "position_mm": or_null(NUMBER),
                    "file": or_null(STRING),
                    "analysis": ref("Analysis"),
                }
            )
        )
    }
)
RESULT_STATUSES = ["refused", "reading", "queued", "running", "done", "failed"]
RESULT = obj(
    {
        "file": STRING | {"description": "As its sender calls it."},
        "status": {"enum": RESULT_STATUSES},
        "problem": or_null(STRING | {"description": "Why it, or a part of it, was refused."}),
        "analysis": or_null(ref("Analysis")),
        "study": or_null(ref("StudySummary")),
    }
)
UPLOAD = obj(
    {
        "id": UUID_SCHEMA,
        "modality": STRING,
        "created": DATE_TIME,
        "status": {"enum": ["running", "done"]},
        "results": array(ref("Result"), description="What was refused comes first."),
        "links": LINKS,
    }
)
NOTE = obj(
    {
        "text": {"type": "string", "maxLength": MAX_NOTE_CHARACTERS},
        "tags": array(
            {"type": "string", "maxLength": MAX_TAG_CHARACTERS, "pattern": "^[^,\\n]*$"},
            maxItems=MAX_TAGS,
        ),
    }
)
PROBLEM = obj({"title": STRING, "status": INTEGER, "detail": STRING})
SIGNED_REPORT = obj(
    {
        "report": {
            "type": "object",
            "description": "What was signed: as canonical JSON (RFC 8785), in UTF-8.",
        },
        "signature": {
            "type": "string",
            "description": "Ed25519, hex, by the key that the report names in signing_key.",
            "pattern": "^[0-9a-f]{128}$",
        },
    }
)
SCAN_FORM = obj(
    {
        "modality": MODALITY_KEY,
        "image": SCAN_FILE,
        "override_gate": {
            "type": "boolean",
            "default": False,
            "description": "Judge it even if it does not look like such a scan.",
        },
    },
    optional=("override_gate",),
)
BATCH_FORM = obj({"modality": MODALITY_KEY, "images": array(SCAN_FILE, minItems=1)})

SCHEMAS = {
    "Analysis": ANALYSIS,
    "History": HISTORY,
    "Modalities": obj({"modalities": array(ref("Modality"))}),
    "Modality": MODALITY,
    "Note": NOTE,
    "Problem": PROBLEM,
    "Result": RESULT,
    "SignedReport": SIGNED_REPORT,
    "Study": STUDY,
    "StudySummary": obj(STUDY_SUMMARY_PROPERTIES),
    "Upload": UPLOAD,
}
