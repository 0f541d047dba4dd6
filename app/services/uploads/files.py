"""What is known of an uploaded file, from when it comes in to what became of it."""

from dataclasses import replace
from uuid import uuid4

from app.errors import VeriscanError
from app.records import FileState, Upload, UploadedFile
from app.services.analyses.receiving import AcceptedScan

MAX_NAME_CHARACTERS = 200


def new_file(upload: Upload, name: str, number: int) -> UploadedFile:
    """Return a file that has just come in with an upload."""
    return UploadedFile(
        id=uuid4(),
        upload_id=upload.id,
        number=number,
        name=clean_name(name),
        state=FileState.READING,
    )


def clean_name(name: str) -> str:
    """Return a client's name for a file such that it can be shown: one short, printable line."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(printable) > MAX_NAME_CHARACTERS:
        printable = f"…{printable[1 - MAX_NAME_CHARACTERS :]}"
    return printable or "(no name)"


def frame_of(upload: Upload, whole: UploadedFile, frame: int) -> UploadedFile:
    """Return a frame, from 0, of a file that holds several."""
    return replace(new_file(upload, whole.name, frame + 1), parent_id=whole.id)


def taken(file: UploadedFile, accepted: AcceptedScan) -> UploadedFile:
    """Return a file of which a scan was taken in."""
    series = accepted.series
    return replace(
        file,
        state=FileState.TAKEN,
        analysis_id=accepted.analysis.id,
        series=series.series if series else None,
        position=series.slice_mm if series else None,
        number=file.number if series is None or series.instance is None else series.instance,
    )


def refused(file: UploadedFile, error: VeriscanError) -> UploadedFile:
    """Return a file that was not taken in, with the reason."""
    return replace(file, state=FileState.REFUSED, problem=str(error))
