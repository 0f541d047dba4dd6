"""A history as a file, piece by piece: CSV for a spreadsheet, JSON for a script."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.services.analyses.history import Line
from app.services.analyses.reports import NOTICE, analysis_json
from app.services.spreadsheets import defused

BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else

COLUMNS: Mapping[str, Callable[[Line], object]] = {
    "id": lambda line: line.analysis.id,
    "uploaded_utc": lambda line: line.analysis.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "modality": lambda line: line.analysis.modality,
    "status": lambda line: line.analysis.status.value,
    "verdict": lambda line: _of_finding(line, "verdict"),
    "probability_fake": lambda line: _of_finding(line, "probability_fake"),
    "real_below": lambda line: _band(line, 0),
    "fake_above": lambda line: _band(line, 1),
    "reasons": lambda line: " ".join(_of_finding(line, "reasons") or ()),
    "study_id": lambda line: line.study_id,
    "file_name": lambda line: line.name,
    "tags": lambda line: ", ".join(line.note.tags),
    "note": lambda line: line.note.text,
    "image_format": lambda line: line.analysis.image_format,
    "width": lambda line: line.analysis.width,
    "height": lambda line: line.analysis.height,
    "image_sha256": lambda line: line.analysis.image_sha256,
    "declared_synthetic": lambda line: line.analysis.declared_synthetic,
    "override_gate": lambda line: line.analysis.override_gate,
    "weights_name": lambda line: _of_finding(line, "weights_name"),
    "weights_sha256": lambda line: _of_finding(line, "weights_sha256"),
    "error": lambda line: line.analysis.error,
}


def csv_pieces(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a history as CSV (RFC 4180), a piece for each analysis and one for the heading."""
    yield BYTE_ORDER_MARK + _csv_row(COLUMNS)
    for line in lines:
        yield _csv_row(_cell(value(line)) for value in COLUMNS.values())


def json_pieces(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a history as one JSON object, whose list ``analyses`` has them as the API gives them.

    Each has besides that ``study_id``, ``file_name``, ``note`` and ``tags``.
    """
    yield f'{{"notice": {json.dumps(NOTICE)}, "analyses": ['
    separator = "\n"
    for line in lines:
        yield separator + json.dumps(line_json(line), ensure_ascii=False, allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"


def line_json(line: Line) -> dict[str, Any]:
    """Return an analysis as the API gives it, with what only its owner knows of it."""
    body = analysis_json(line.analysis, {})
    del body["links"]
    return body | {
        "study_id": str(line.study_id) if line.study_id else None,
        "file_name": line.name,
        "note": line.note.text,
        "tags": list(line.note.tags),
    }


def _csv_row(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _cell(value: object) -> str:
    """Write a value so that no spreadsheet takes what somebody typed for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return defused(value) if isinstance(value, str) else str(value)


def _of_finding(line: Line, name: str) -> Any:
    finding = line.analysis.finding
    return getattr(finding, name) if finding else None


def _band(line: Line, side: int) -> float | None:
    finding = line.analysis.finding
    return finding.inconclusive_band[side] if finding else None
