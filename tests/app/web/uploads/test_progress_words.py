"""How far an upload is, in words."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.records import Study, Upload
from app.services.analyses.studies import StudySummary
from app.services.uploads.progress import UploadLine, UploadProgress
from app.web.uploads.progress_words import upload_words

NOW = datetime(2026, 11, 20, tzinfo=UTC)
READING = UploadLine(key=uuid4(), name="series.zip", holds=40, read=7)
REFUSED = UploadLine(key=uuid4(), name="letter.pdf", problem="This is not an image.")


def study_line(finished: int, total: int) -> UploadLine:
    """Return the line of a study that is still being judged."""
    study = Study(
        id=uuid4(), user_id=uuid4(), upload_id=uuid4(), modality="lung_ct", series="s", created=NOW
    )
    summary = StudySummary(
        study=study, total=total, finished=finished, finding=None, most_suspicious=None
    )
    return UploadLine(key=study.id, name="study", study=summary)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((READING,), "The files are being read."),
        ((READING, study_line(0, 1)), "0 of 1 scan finished, more are being read."),
        ((study_line(3, 40), study_line(2, 2)), "5 of 42 scans finished."),
        ((REFUSED, study_line(3, 40)), "3 of 40 scans finished, one was not taken in."),
        ((REFUSED,), "One was not taken in."),
        ((), "Nothing of it is left."),
    ],
)
def test_an_upload_counts_its_scans_and_not_the_archive_that_they_come_in(
    lines: tuple[UploadLine, ...], words: str
) -> None:
    upload = Upload(id=uuid4(), user_id=uuid4(), modality="lung_ct", created=NOW)

    assert upload_words(UploadProgress(upload=upload, lines=lines)) == words
