"""What the API answers with, as JSON objects."""

from typing import Any

from flask import url_for

from app.records import Analysis
from app.services.analyses.reports import analysis_json
from app.services.analyses.studies import StudyPage, StudySummary
from app.services.uploads.progress import UploadLine, UploadProgress
from app.web.analyses.study_page import study_reasons
from app.web.offers import noun_of

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def analysis_body(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis with links to what belongs to it."""
    links = {
        "self": url_for("api.show", analysis_id=analysis.id),
        "image": url_for("api.image", analysis_id=analysis.id),
        "heatmap": url_for("api.heatmap", analysis_id=analysis.id),
        "report": url_for("api.report", analysis_id=analysis.id),
    }
    if analysis.finding is None:
        del links["report"]
    if analysis.is_not_judged:
        del links["heatmap"]
    return analysis_json(analysis, links)


def upload_body(progress: UploadProgress) -> dict[str, Any]:
    """Return what became of each file of an upload so far."""
    upload = progress.upload
    return {
        "id": str(upload.id),
        "modality": upload.modality,
        "created": upload.created.strftime(TIME_FORMAT),
        "status": "done" if progress.is_final else "running",
        "results": [_result(line) for line in progress.lines],
        "links": {"self": url_for("api.show_upload", upload_id=upload.id)},
    }


def _result(line: UploadLine) -> dict[str, Any]:
    return {
        "file": line.name,
        "status": _status(line),
        "problem": line.problem,
        "analysis": analysis_body(line.analysis) if line.analysis else None,
        "study": summary_body(line.study) if line.study else None,
    }


def _status(line: UploadLine) -> str:
    if line.analysis is not None:
        return line.analysis.status.value
    if line.problem is not None:
        return "refused"
    if line.study is not None:
        return "done" if line.study.is_final else "running"
    return "reading"


def summary_body(summary: StudySummary) -> dict[str, Any]:
    """Return how far a study is, and the verdict on it."""
    study, finding = summary.study, summary.finding
    return {
        "id": str(study.id),
        "modality": study.modality,
        "created": study.created.strftime(TIME_FORMAT),
        "status": "done" if finding else "running",
        "total": summary.total,
        "finished": summary.finished,
        "verdict": finding.verdict.value if finding else None,
        "reasons": list(study_reasons(finding, noun_of(study.modality))) if finding else [],
        "links": {"self": url_for("api.show_study", study_id=study.id)},
    }


def study_body(page: StudyPage) -> dict[str, Any]:
    """Return a study with its slices, in the order of their position."""
    slices = [
        {
            "number": found.number,
            "position_mm": found.position,
            "file": page.names.get(found.analysis.id),
            "analysis": analysis_body(found.analysis),
        }
        for found in page.slices
    ]
    return summary_body(page.summary) | {"slices": slices}
