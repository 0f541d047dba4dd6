"""An analysis as others read it: the JSON of the API, of the command line and of certificates."""

from collections.abc import Mapping
from typing import Any

from app.detection.verdict import GateFinding, StabilityFinding
from app.records import Analysis

CERTIFICATE_FORMAT = "veriscan-report/1"
NOTICE = (
    "Research use only. Not a medical device. It judges the image and says nothing of the patient."
)


def analysis_json(analysis: Analysis, links: Mapping[str, str]) -> dict[str, Any]:
    """Return an analysis as a JSON object.

    Args:
        analysis: In any state. What is not known yet is null.
        links: Where it and its pictures are found, by relation; ``self``, ``image``,
            ``heatmap`` and ``report`` on the web, none on the command line.

    Returns:
        The object; ``error`` is present only if the analysis failed.
    """
    finding = analysis.finding
    body: dict[str, Any] = {
        "id": str(analysis.id),
        "modality": analysis.modality,
        "status": analysis.status.value,
        "created": analysis.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verdict": finding.verdict.value if finding else None,
        "probability_fake": finding.probability_fake if finding else None,
        "threshold": finding.threshold if finding else None,
        "inconclusive_band": list(finding.inconclusive_band) if finding else None,
        "reasons": list(finding.reasons) if finding else [],
        "image_sha256": analysis.image_sha256,
        "weights": (
            {"name": finding.weights_name, "sha256": finding.weights_sha256} if finding else None
        ),
        "gate": _gate_json(finding.gate) if finding and finding.gate else None,
        "stability": _stability_json(finding.stability) if finding and finding.stability else None,
        "override_gate": analysis.override_gate,
        "device": finding.device if finding else None,
        "inference_ms": finding.inference_ms if finding else None,
        "links": dict(links),
    }
    if analysis.error is not None:
        body["error"] = analysis.error
    return body


def certificate_json(analysis: Analysis, installation: str, key_id: str) -> dict[str, Any]:
    """Return what a certificate of a finished analysis says; the same at any time.

    It names neither the owner nor the patient, and holds nothing of the scan but its hash.

    Args:
        analysis: One that has a finding.
        installation: What names the Veriscan that judged it.
        key_id: Of the key that will sign it.
    """
    body = analysis_json(analysis, links={})
    of_the_record = ("links", "status", "created", "id", "device", "inference_ms", "image_sha256")
    said = {name: value for name, value in body.items() if name not in of_the_record}
    finished = analysis.finished or analysis.created
    return said | {
        "format": CERTIFICATE_FORMAT,
        "analysis": str(analysis.id),
        "submitted": body["created"],
        "judged": finished.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "image": {
            "sha256": analysis.image_sha256,
            "format": analysis.image_format,
            "width": analysis.width,
            "height": analysis.height,
            "declared_synthetic": analysis.declared_synthetic,
        },
        "installation": installation,
        "signing_key": key_id,
        "notice": NOTICE,
    }


def _gate_json(gate: GateFinding) -> dict[str, Any]:
    return {
        "likeness": gate.likeness,
        "threshold": gate.threshold,
        "looks_right": gate.looks_right,
        "overridden": gate.is_overridden,
        "sha256": gate.sha256,
    }


def _stability_json(stability: StabilityFinding) -> dict[str, Any]:
    return {"stable": stability.is_stable, "probabilities": dict(stability.probabilities)}
