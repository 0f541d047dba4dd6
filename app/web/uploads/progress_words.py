"""How far uploads and studies are, in words."""

from app.records import Analysis, AnalysisStatus
from app.services.analyses.studies import StudySummary
from app.services.uploads.progress import UploadLine, UploadProgress
from app.web.wording import STATES, Badge, badge_of, badge_of_verdict

REFUSED = Badge("Not taken in", "failed", "error")
WAITING = STATES[AnalysisStatus.QUEUED]


def waiting_words(place: int) -> str:
    """Say which in line a scan is.

    Args:
        place: From 1; 0 where it is not known.
    """
    return f"Waiting, {ordinal(place)} in line" if place else "Waiting for its turn"


def ordinal(number: int) -> str:
    """Write a number as a place, such as ``21st``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{'th' if number % 100 in (11, 12, 13) else ending}"


def waiting_badge(analysis: Analysis, place: int) -> Badge:
    """Return how far an analysis is, with its place in line while it waits."""
    if analysis.status is AnalysisStatus.QUEUED:
        return Badge(waiting_words(place), WAITING.tone, WAITING.icon)
    return badge_of(analysis)


def line_words(line: UploadLine, place: int) -> Badge:
    """Return how far one thing of an upload is.

    Args:
        line: What became of it.
        place: Which in line it is, from 1; 0 where it does not wait.
    """
    if line.problem is not None:
        return REFUSED
    if line.analysis is not None:
        return waiting_badge(line.analysis, place)
    if line.study is not None:
        return study_badge(line.study)
    of_all = f"{line.read} of {line.holds} files" if line.holds else "in a moment"
    return Badge(f"Being read: {of_all}", WAITING.tone, WAITING.icon)


def study_badge(summary: StudySummary) -> Badge:
    """Return the verdict on a study, or how far it is."""
    if summary.finding is not None:
        return badge_of_verdict(summary.finding.verdict)
    return Badge(study_words(summary), WAITING.tone, WAITING.icon)


def study_words(summary: StudySummary) -> str:
    """Say how many slices of a study are finished."""
    return f"{summary.finished} of {summary.total} slices judged"


def upload_words(progress: UploadProgress) -> str:
    """Say how far an upload is as a whole, in a sentence that a screen reader reads out."""
    if not progress.lines:
        return "Nothing of it is left."
    refused = sum(line.problem is not None for line in progress.lines)
    counts = [_scans_of(line) for line in progress.lines]
    done, total = (sum(column) for column in zip(*counts, strict=True))
    parts = [f"{done} of {total} {'scan' if total == 1 else 'scans'} finished"] if total else []
    if any(line.is_being_read for line in progress.lines):
        parts.append("more are being read" if total else "the files are being read")
    if refused:
        parts.append("one was not taken in" if refused == 1 else f"{refused} were not taken in")
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _scans_of(line: UploadLine) -> tuple[int, int]:
    """Return how many scans of a line are finished, and how many it has as far as is known."""
    if line.study is not None:
        return line.study.finished, line.study.total
    if line.analysis is None:
        return 0, 0
    return int(line.is_final), 1
