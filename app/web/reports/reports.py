"""The report on an analysis, to be kept or passed on: signed JSON, and the same as PDF."""

from uuid import UUID

from flask import Blueprint, Response, url_for
from flask.typing import ResponseReturnValue

from app.detection.card import Card
from app.detection.titles import with_titles
from app.detection.verdict import Finding
from app.records import Analysis
from app.services.analyses.judging import SYNTHETIC_REASON
from app.services.analyses.reports import NOTICE
from app.services.certificates.report_pdf import Words
from app.web.analyses.alarms import worth_of_alarms
from app.web.analyses.performance import Rate, rates_of
from app.web.context import services, viewer
from app.web.filters import plain_utc
from app.web.guards import signed_in
from app.web.offers import noun_of, serving_card, title_of
from app.web.wording import (
    band_in_words,
    certainty,
    gate_words,
    headline,
    in_figures,
    stability_words,
)

bp = Blueprint("reports", __name__, url_prefix="/analyses")


@bp.get("/<uuid:analysis_id>/report.json")
@signed_in
def as_json(analysis_id: UUID) -> ResponseReturnValue:
    """Return the signed report for machines."""
    return json_of(analysis_id)


@bp.get("/<uuid:analysis_id>/report.pdf")
@signed_in
def as_pdf(analysis_id: UUID) -> ResponseReturnValue:
    """Return the report for people; the signed one lies in it as an attachment."""
    return pdf_of(analysis_id)


def json_of(analysis_id: UUID) -> Response:
    """Return the signed report on an analysis that the viewer may see."""
    report = services().certificates.report(viewer(), analysis_id)
    return _download(report, analysis_id, "application/json", "json")


def pdf_of(analysis_id: UUID) -> Response:
    """Return the PDF of an analysis that the viewer may see."""
    pdf = services().certificates.pdf(viewer(), analysis_id, words_of)
    return _download(pdf, analysis_id, "application/pdf", "pdf")


def _download(data: bytes, analysis_id: UUID, mimetype: str, ending: str) -> Response:
    """Return a report as a file with a name that says nothing of the patient."""
    response = Response(data, mimetype=mimetype)
    name = f"veriscan-{analysis_id.hex[:8]}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _rate_lines(card: Card) -> list[str]:
    lines = [*map(_rate_line, rates_of(card)), worth_of_alarms(card)]
    return [line for line in lines if line]


def _rate_line(rate: Rate) -> str:
    return f"{rate.count} {rate.sentence}" + (f" ({rate.interval})" if rate.interval else "")


def words_of(analysis: Analysis, finding: Finding) -> Words:
    """Return what the pages of a report say."""
    noun = noun_of(analysis.modality)
    said = headline(finding.verdict, noun)
    card = serving_card(analysis.modality, finding.weights_sha256)
    return Words(
        title=title_of(analysis.modality),
        tone=finding.verdict.value,
        headline=f"{said.before}{said.key}{said.after}",
        advice=said.advice,
        certainty=certainty(finding),
        rates=_rate_lines(card) if card else [],
        reasons=_reasons(analysis, finding),
        limits=[with_titles(limit) for limit in card.limits] if card else (),
        findings=_findings(analysis, finding, noun),
        facts=(("The scan", _scan_facts(analysis)), ("The detector", _detector_facts(finding))),
        notice=NOTICE,
        how_to_check=(
            f"Open {_checking_page()} and choose this file, unchanged. The "
            "page says whether this installation of Veriscan issued it and whether one byte of it "
            "was changed since. The signed report lies in this PDF as the attachment report.json."
        ),
    )


def _checking_page() -> str:
    """Return where a report is checked; what a client calls this server is not sealed into it."""
    path = url_for("verify.show")
    if public_url := services().settings.public_url:
        return public_url + path
    return f"the page “Check a report” ({path}) of this installation of Veriscan"


def _reasons(analysis: Analysis, finding: Finding) -> list[str]:
    """Return the reasons, that of the file's own declaration first."""
    rest = [reason for reason in finding.reasons if reason != SYNTHETIC_REASON]
    return [SYNTHETIC_REASON, *rest] if analysis.declared_synthetic else rest


def _scan_facts(analysis: Analysis) -> list[tuple[str, str]]:
    return [
        ("Kind", title_of(analysis.modality)),
        ("File", f"{analysis.image_format}, {analysis.width} × {analysis.height} pixels"),
        ("SHA-256 of the file", analysis.image_sha256),
        ("Uploaded", plain_utc(analysis.created)),
        ("Judged", plain_utc(analysis.finished or analysis.created)),
        ("Analysis", str(analysis.id)),
    ]


def _findings(analysis: Analysis, finding: Finding, noun: str) -> list[tuple[str, str]]:
    score = finding.probability_fake
    facts = [("Score", "none" if score is None else f"{in_figures(score)} on a scale from 0 to 1")]
    band = band_in_words(finding.inconclusive_band)
    facts.append(("Operating point", f"{band}, else no verdict"))
    facts.append(("Kind of image", gate_words(finding.gate, noun)))
    if not analysis.is_not_judged:
        facts.append(("Stability", stability_words(finding.stability)))
    return facts


def _detector_facts(finding: Finding) -> list[tuple[str, str]]:
    signing = services().signing
    return [
        ("Weights", finding.weights_name),
        ("SHA-256", finding.weights_sha256),
        ("Installation", signing.installation),
        ("Signing key", signing.signer().key_id),
    ]
