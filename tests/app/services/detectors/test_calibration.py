"""Site calibration: scores of the site's own scans, a limit from them, and verdicts with it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from app.config import Settings
from app.detection.labels import Verdict
from app.detection.verdict import Finding, StabilityFinding
from app.engine.engine import InProcessEngine
from app.engine.protocol import Judgement
from app.errors import CalibrationError, ModalityUnavailableError, UploadError
from app.records import EventFilter
from app.services.accounts.passwords import PasswordService
from app.services.clock import utc_now
from app.services.container import Services
from app.services.decoding.pool import DecodingPool
from app.services.detectors.calibration import CalibrationService, option_for, with_limit
from app.storage.calibration import CalibrationScore, SiteLimit
from tests.app.services.conftest import OWNER, services_of_owner
from tests.factories import (
    make_card,
    make_grey,
    operating_point_for,
    png_bytes,
    publish_tiny_weights,
)

LUNG = "lung_ct"


@pytest.fixture
def alarming(
    tmp_path: Path, passwords: PasswordService, decoding_pool: DecodingPool
) -> Iterator[Services]:
    """Services whose detector calls every lung CT fake; nothing serves the knee."""
    weights_dir = tmp_path / "weights"
    publish_tiny_weights(weights_dir, LUNG, operating_point=operating_point_for(Verdict.FAKE))
    engine = InProcessEngine(weights_dir, max_queue=64, max_batch=8, device="cpu", threads=1)
    services = services_of_owner(
        Settings(data_dir=tmp_path / "data"), engine, passwords, decoding_pool
    )
    services.start()
    yield services
    services.stop()


def calibration_of(services: Services) -> CalibrationService:
    return services.administration.calibration


def add_scores(services: Services, scores: list[float]) -> None:
    """Put scores into the store as if so many scans had been judged."""
    card = services.analyses.modalities()[LUNG].card
    assert card
    for score in scores:
        services.administration.calibration._store.add_score(
            LUNG,
            card.sha256,
            CalibrationScore(
                image_sha256=uuid4().hex * 2,
                verdict=card.operating_point.verdict(score),
                probability_fake=score,
            ),
        )


def wait(services: Services) -> None:
    deadline = time.monotonic() + 30
    while calibration_of(services).of(LUNG).pending and time.monotonic() < deadline:
        time.sleep(0.01)


# --- from scans to a limit ------------------------------------------------------------------


def test_scans_are_judged_and_only_their_scores_are_kept(alarming: Services) -> None:
    service = calibration_of(alarming)
    for seed in (1, 2, 2):
        service.add(LUNG, png_bytes(make_grey(seed=seed)))
    wait(alarming)

    known = service.of(LUNG)

    assert (known.scans, known.false_alarms, known.stopped) == (2, 2, 0)
    assert known.interval == pytest.approx((0.158, 1.0), abs=1e-3)
    assert not list((alarming.settings.data_dir / "images").rglob("*.png"))
    assert alarming.audit.count() == 0


def test_a_scan_judged_while_the_page_is_made_is_still_told_of(
    alarming: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = calibration_of(alarming)
    read = service._store.scores

    def slowly(*key: str) -> list[CalibrationScore]:
        kept = read(*key)
        deadline = time.monotonic() + 30
        while service._pending[LUNG] and time.monotonic() < deadline:
            time.sleep(0.01)
        return kept

    service.add(LUNG, png_bytes(make_grey(seed=1)))
    monkeypatch.setattr(service._store, "scores", slowly)

    known = service.of(LUNG)

    assert known.scans + known.pending >= 1


def test_a_file_that_is_no_scan_is_refused(alarming: Services) -> None:
    with pytest.raises(UploadError):
        calibration_of(alarming).add(LUNG, b"no scan")


def test_too_few_scans_set_no_limit(alarming: Services) -> None:
    add_scores(alarming, [0.9] * 28)

    with pytest.raises(CalibrationError, match="from 29 authentic scans on"):
        calibration_of(alarming).set_limit(LUNG, 0.10, actor=OWNER.id)
    with pytest.raises(CalibrationError):
        calibration_of(alarming).set_limit(LUNG, 0.5, actor=OWNER.id)


def test_what_does_not_serve_cannot_be_calibrated(alarming: Services) -> None:
    with pytest.raises(ModalityUnavailableError):
        calibration_of(alarming).of("knee_xray")


def test_a_limit_shows_the_false_alarms_before_and_after(alarming: Services) -> None:
    service = calibration_of(alarming)
    add_scores(alarming, [0.01] * 60 + [0.9, 0.91, 0.92, 0.93])
    assert service.of(LUNG).false_alarms == 4

    limit = service.set_limit(LUNG, 0.05, actor=OWNER.id)
    known = service.of(LUNG)

    assert limit.fake_above == 0.93
    assert known.limit == limit
    assert known.still_called_fake == 0
    assert known.card.operating_point.inconclusive_band == (0.3, 0.7)
    (event,) = alarming.audit.page(EventFilter(), limit=9)
    assert (event.action, event.actor_id) == ("calibration.limit_set", OWNER.id)
    service.clear_limit(LUNG, actor=OWNER.id)
    service.clear_scores(LUNG, actor=OWNER.id)
    assert service.of(LUNG).limit is None
    assert service.of(LUNG).scans == 0
    assert len(alarming.audit.page(EventFilter(), limit=9)) == 3


def test_a_limit_is_never_below_the_cards(alarming: Services) -> None:
    scores = sorted(np.linspace(0.0, 0.2, 300).tolist())

    option = option_for(scores, 0.01, make_card())

    assert option.fake_above == 0.7
    assert option.exceeding == 0


def test_a_limit_leaves_out_as_many_scans_as_its_promise_allows() -> None:
    scores = sorted(np.linspace(0.701, 1.0, 300).tolist())

    assert option_for(scores, 0.01, make_card()).exceeding == 0
    assert option_for(scores, 0.10, make_card()).exceeding == 21


# --- verdicts with a limit ------------------------------------------------------------------

LIMIT = SiteLimit(
    modality=LUNG,
    weights_sha256="0" * 64,
    fake_above=0.9,
    target=0.05,
    scans=120,
    set_at=utc_now(),
    set_by=OWNER.id,
)


def judgement(score: float, verdict: Verdict) -> Judgement:
    finding = Finding(
        verdict=verdict,
        probability_fake=score,
        threshold=0.5,
        inconclusive_band=(0.3, 0.7),
        reasons=("The score lies above 0.7.",),
        weights_name="tiny",
        weights_sha256="0" * 64,
        device="cpu",
        inference_ms=1.0,
        stability=StabilityFinding(probabilities={"mirrored": score}, is_stable=True),
    )
    return Judgement(finding=finding, heatmap=np.zeros((4, 4), dtype=np.float32))


def test_between_the_two_limits_a_scan_is_inconclusive_and_says_why() -> None:
    finding = with_limit(judgement(0.8, Verdict.FAKE), LIMIT).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.inconclusive_band == (0.3, 0.9)
    assert "between 0.3 and 0.9" in finding.reasons[0]
    assert "This site uses a limit of its own, 0.900 in place of 0.700" in finding.reasons[-1]
    assert "from 120 of its authentic scans" in finding.reasons[-1]
    assert finding.stability is not None


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0.95, Verdict.FAKE), (0.1, Verdict.REAL), (0.5, Verdict.INCONCLUSIVE)],
)
def test_other_verdicts_stay_and_name_the_limit(score: float, verdict: Verdict) -> None:
    finding = with_limit(judgement(score, verdict), LIMIT).finding

    assert finding.verdict is verdict
    assert "This site uses a limit of its own" in finding.reasons[-1]


def test_a_limit_no_higher_than_the_cards_changes_nothing() -> None:
    before = judgement(0.8, Verdict.FAKE)

    assert with_limit(before, replace(LIMIT, fake_above=0.7)) is before


def test_a_scan_of_a_user_gets_the_verdict_of_the_sites_limit(alarming: Services) -> None:
    add_scores(alarming, [1.0] * 40)
    calibration_of(alarming).set_limit(LUNG, 0.10, actor=OWNER.id)

    analysis = alarming.analyses.submit(OWNER, LUNG, png_bytes())
    analysis = alarming.analyses.wait(analysis.id, 30)

    assert analysis.finding is not None
    assert analysis.finding.verdict is Verdict.INCONCLUSIVE
    assert analysis.finding.inconclusive_band == (0.3, 1.0)
    assert "This site uses a limit of its own" in analysis.finding.reasons[-1]
