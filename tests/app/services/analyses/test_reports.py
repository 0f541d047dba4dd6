import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.records import Analysis, AnalysisStatus
from app.services.analyses.reports import analysis_json

ID = "00000000-0000-4000-8000-000000000001"
LINKS = {"self": "/api/v1/analyses/1"}
QUEUED = Analysis(
    id=UUID(ID),
    user_id=UUID(int=2),
    modality="lung_ct",
    status=AnalysisStatus.QUEUED,
    created=datetime(2026, 11, 20, 10, 0, 0, 987_654, tzinfo=UTC),
    image_sha256="a" * 64,
    image_format="DICOM",
    width=512,
    height=512,
)
FINDING = Finding(
    verdict=Verdict.FAKE,
    probability_fake=0.9931,
    threshold=0.5,
    inconclusive_band=(0.2, 0.8),
    reasons=("One.", "Two."),
    weights_name="efficientnet_b4",
    weights_sha256="b" * 64,
    device="cpu",
    inference_ms=41.2,
)


def test_a_finished_analysis_is_the_documented_object() -> None:
    done = replace(QUEUED, status=AnalysisStatus.DONE, finding=FINDING)

    assert analysis_json(done, LINKS) == {
        "id": ID,
        "modality": "lung_ct",
        "status": "done",
        "created": "2026-11-20T10:00:00Z",
        "verdict": "fake",
        "probability_fake": 0.9931,
        "threshold": 0.5,
        "inconclusive_band": [0.2, 0.8],
        "reasons": ["One.", "Two."],
        "image_sha256": "a" * 64,
        "weights": {"name": "efficientnet_b4", "sha256": "b" * 64},
        "gate": None,
        "stability": None,
        "override_gate": False,
        "device": "cpu",
        "inference_ms": 41.2,
        "links": LINKS,
    }


def test_what_is_not_known_yet_is_null() -> None:
    body = analysis_json(QUEUED, LINKS)

    assert body["status"] == "queued"
    assert body["reasons"] == []
    for key in ("verdict", "probability_fake", "threshold", "inconclusive_band", "weights"):
        assert body[key] is None
    assert "error" not in body


def test_a_failed_analysis_says_why() -> None:
    failed = replace(QUEUED, status=AnalysisStatus.FAILED, error="It failed.")

    assert analysis_json(failed, {})["error"] == "It failed."


def test_it_names_nobody_and_can_be_written_as_json() -> None:
    text = json.dumps(analysis_json(replace(QUEUED, finding=FINDING), LINKS), allow_nan=False)

    assert str(QUEUED.user_id) not in text


def test_what_gate_and_variants_said_is_told() -> None:
    gate = GateFinding(likeness=0.25, threshold=0.9, is_overridden=True, sha256="c" * 64)
    stability = StabilityFinding(probabilities={"mirrored": 0.4}, is_stable=False)
    finding = replace(FINDING, gate=gate, stability=stability)

    body = analysis_json(replace(QUEUED, finding=finding, override_gate=True), LINKS)

    assert body["override_gate"] is True
    assert body["gate"] == {
        "likeness": 0.25,
        "threshold": 0.9,
        "looks_right": False,
        "overridden": True,
        "sha256": "c" * 64,
    }
    assert body["stability"] == {"stable": False, "probabilities": {"mirrored": 0.4}}
