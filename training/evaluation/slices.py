"""What of a report goes to the card so that a verdict can say where the detector errs most."""

from collections.abc import Iterator

from app.detection.card import Slice
from training.evaluation.report import Report, Table


def slices_of(report: Report) -> tuple[Slice, ...]:
    """Return the errors of a detector on each kind of scan of its test side."""
    return (
        *_slices("generator", report.by_generator, "miss_rate"),
        *_slices("edit_size", report.by_edit_size, "miss_rate"),
        *_slices("source", report.by_source, "false_alarm_rate"),
    )


def _slices(kind: str, table: Table, error: str) -> Iterator[Slice]:
    for name, figures in table.items():
        yield Slice(
            kind=kind,
            name=name,
            wrong=figures[error],
            undecided=figures["coverage"].complement(),
        )
