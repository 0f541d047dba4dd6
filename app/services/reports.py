"""An analysis as others read it: the JSON of the API and of the command line."""

from collections.abc import Mapping
from typing import Any

from app.detection.verdict import GateFinding, StabilityFinding
from app.records import Analysis


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
