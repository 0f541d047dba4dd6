"""A Veriscan with judged scans in it, for tests of what people do with verdicts afterwards."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.config import Settings
from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.engine.engine import InProcessEngine
from app.records import Analysis, AnalysisStatus, User
from app.services.container import Services, build_services
from app.services.decoding import pictures
from app.storage.images import Picture
from tests.factories import make_grey

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SCORES = {Verdict.REAL: 0.04, Verdict.FAKE: 0.9931, Verdict.INCONCLUSIVE: 0.5}


@dataclass(frozen=True)
class Board:
    """The services, with the means to put finished analyses into them."""

    services: Services

    def judged(
        self, owner: User, verdict: Verdict = Verdict.FAKE, *, seed: int = 0, **changes: Any
    ) -> Analysis:
        """Keep a finished analysis with its pictures, as if it had been uploaded and judged."""
        analysis = Analysis(
            id=uuid4(),
            user_id=owner.id,
            modality="lung_ct",
            status=AnalysisStatus.DONE,
            created=NOON,
            finished=NOON,
            image_sha256=f"{seed:064x}",
            image_format="DICOM",
            width=96,
            height=80,
            finding=finding_of(verdict),
        )
        analysis = replace(analysis, **changes)
        store, images = self.services.analyses._store, self.services.analyses._images
        store.add(analysis)
        pixels = pictures.quantised(make_grey(seed=seed))
        images.put(analysis.id, Picture.SCAN, pictures.encoded(pixels))
        images.put(analysis.id, Picture.THUMBNAIL, pictures.thumbnail(pixels))
        if verdict is not Verdict.NOT_JUDGED:
            evidence = pictures.quantised(make_grey(12, 10, seed=seed + 1))
            images.put(analysis.id, Picture.HEATMAP, pictures.encoded(evidence))
        return analysis


def finding_of(verdict: Verdict) -> Finding:
    """Return a finding with everything that a report tells."""
    return Finding(
        verdict=verdict,
        probability_fake=SCORES.get(verdict),
        threshold=0.5,
        inconclusive_band=(0.2, 0.8),
        reasons=("The evidence is spread over the whole image.",),
        weights_name="efficientnet_b4",
        weights_sha256="b" * 64,
        device="cpu",
        inference_ms=41.2,
        gate=GateFinding(likeness=0.998, threshold=0.88, is_overridden=False, sha256="c" * 64),
        stability=StabilityFinding(probabilities={"mirrored": 0.99}, is_stable=True),
    )


def open_board(data_dir: Path, weights_dir: Path) -> Board:
    """Return the services on a folder; no engine is started."""
    engine = InProcessEngine(weights_dir, max_queue=1, max_batch=1, device="cpu")
    return Board(build_services(Settings(data_dir=data_dir, weights_dir=weights_dir), engine))
