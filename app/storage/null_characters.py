"""Null characters, which PostgreSQL keeps in no text and a client may send all the same."""

from typing import Any


def without_null_characters(
    _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    """Replace them in what a statement is given, as a listener of SQLAlchemy's engine."""
    if isinstance(parameters, list):
        return statement, [_printable(row) for row in parameters]
    return statement, _printable(parameters)


def _printable(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    return {
        name: value.replace("\0", "\ufffd") if isinstance(value, str) else value
        for name, value in row.items()
    }
