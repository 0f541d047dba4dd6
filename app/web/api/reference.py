"""The page that describes the API to people and lets them try it, served from here alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.web.api.blueprint import bp as api
from app.web.api.description import PROBLEMS
from app.web.api.operations import OPERATIONS, SCOPES, Operation
from app.web.api.schemas import Schema
from app.web.guards import public

EMPTY_NOTE = '{"text": "", "tags": []}'

bp = Blueprint("reference", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field with which an operation is tried.

    Attributes:
        place: Where it goes: ``path``, ``query``, ``form`` or ``body``.
        kind: ``text``, ``choice``, ``file``, ``files`` or ``json``.
        choices: The values to choose from.
        start: What it holds at first.
    """

    name: str
    place: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    hint: str = ""
    is_required: bool = False
    start: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An operation as the page shows it."""

    method: str
    path: str
    operation: Operation
    fields: tuple[Field, ...]
    answers: tuple[tuple[str, str], ...]


@bp.get("/api")
@public
def show() -> ResponseReturnValue:
    """Show what the API can do; with JavaScript, each operation can be tried."""
    return render_template("pages/api.html", entries=ENTRIES, scopes=SCOPES, prefix=api.url_prefix)


def _entry(path: str, method: str, operation: Operation) -> Entry:
    answers = [(status, answer["description"]) for status, answer in operation.answers.items()]
    refused = [(status, PROBLEMS[status]) for status in operation.problems]
    return Entry(
        method=method.upper(),
        path=path,
        operation=operation,
        fields=tuple(_fields(path, operation)),
        answers=(*answers, *refused),
    )


def _fields(path: str, operation: Operation) -> Iterator[Field]:
    if "{id}" in path:
        yield Field(name="id", place="path", is_required=True)
    for given in operation.parameters:
        yield _field(given["name"], "query", given["schema"], given["description"])
    for media, schema in operation.body.items():
        if media == "application/json":
            yield Field(name="body", place="body", kind="json", is_required=True, start=EMPTY_NOTE)
            continue
        for name, part in schema["properties"].items():
            is_required = name in schema["required"]
            yield _field(name, "form", part, part.get("description", ""), is_required=is_required)


def _field(name: str, place: str, schema: Schema, hint: str, *, is_required: bool = False) -> Field:
    kind, choices = _kind(schema)
    return Field(
        name=name, place=place, kind=kind, choices=choices, hint=hint, is_required=is_required
    )


def _kind(schema: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    if "enum" in schema:
        return "choice", tuple(schema["enum"])
    if schema["type"] == "boolean":
        return "choice", ("false", "true")
    if schema["type"] == "array":
        return "files", ()
    return ("file" if schema.get("format") == "binary" else "text"), ()


ENTRIES = tuple(
    _entry(path, method, operation)
    for path, operations in OPERATIONS.items()
    for method, operation in operations.items()
)
