"""Activating checkpoints, and trying a candidate in the shadow of the active one."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.config import Settings
from app.detection.labels import Verdict
from app.engine.engine import InProcessEngine
from app.errors import ShadowUnavailableError, WeightsMissingError
from app.records import EventFilter
from app.services.accounts.passwords import PasswordService
from app.services.clock import utc_now
from app.services.container import Services
from app.services.decoding.pool import DecodingPool
from app.services.detectors.detectors import VERDICTS, ShadowReport, summed_up
from app.storage.shadow import Comparison, ShadowRun
from tests.app.services.conftest import OWNER, services_of_owner
from tests.factories import make_grey, operating_point_for, png_bytes, publish_tiny_weights

LUNG = "lung_ct"


def start(folder: Path, passwords: PasswordService, pool: DecodingPool) -> Services:
    engine = InProcessEngine(folder / "weights", max_queue=64, max_batch=8, device="cpu", threads=1)
    services = services_of_owner(Settings(data_dir=folder / "data"), engine, passwords, pool)
    services.start()
    return services


@pytest.fixture
def both(
    tmp_path: Path, passwords: PasswordService, decoding_pool: DecodingPool
) -> Iterator[Services]:
    """The active checkpoint calls everything real, the candidate calls everything fake."""
    for name, verdict in (("candidate", Verdict.FAKE), ("active", Verdict.REAL)):
        publish_tiny_weights(
            tmp_path / "weights",
            LUNG,
            name=name,
            seed=len(name),
            operating_point=operating_point_for(verdict),
        )
    services = start(tmp_path, passwords, decoding_pool)
    yield services
    services.stop()


def judge(services: Services, count: int = 1) -> None:
    """Have scans judged one after the other, and wait for what the candidate says."""
    before = scans_of(services)
    for seed in range(count):
        analysis = services.analyses.submit(OWNER, LUNG, png_bytes(make_grey(seed=seed)))
        services.analyses.wait(analysis.id, 30)
        deadline = time.monotonic() + 30
        while scans_of(services) < before + seed + 1 and time.monotonic() < deadline:
            time.sleep(0.01)


def report_of(services: Services) -> ShadowReport:
    report = services.administration.detectors.report(LUNG)
    assert report
    return report


def scans_of(services: Services) -> int:
    report = services.administration.detectors.report(LUNG)
    return report.scans if report else 0


def test_a_checkpoint_is_activated_and_rolled_back_and_both_are_recorded(both: Services) -> None:
    detectors = both.administration.detectors

    assert detectors.activate(LUNG, "candidate", actor=OWNER.id).name == "candidate"
    assert detectors.activate(LUNG, "active", actor=OWNER.id).name == "active"

    card = both.analyses.modalities()[LUNG].card
    assert card is not None
    assert card.name == "active"
    events = both.audit.page(EventFilter(action="detector."), limit=9)
    assert [event.action for event in events] == ["detector.activated"] * 2
    assert '"before":"candidate"' in events[0].details


def test_a_checkpoint_that_is_not_there_changes_nothing(both: Services) -> None:
    with pytest.raises(WeightsMissingError):
        both.administration.detectors.activate(LUNG, "other", actor=OWNER.id)

    card = both.analyses.modalities()[LUNG].card
    assert card is not None
    assert card.name == "active"
    assert both.audit.count() == 0


def test_both_judge_new_scans_and_the_user_sees_only_the_active_one(both: Services) -> None:
    both.administration.detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)

    judge(both, 3)

    report = report_of(both)
    assert (report.scans, report.agreeing) == (3, 0)
    assert report.table[VERDICTS.index(Verdict.REAL)][VERDICTS.index(Verdict.FAKE)] == 3
    assert len(report.disagreements) == 3
    found = both.analyses.history(OWNER).analyses
    assert {one.finding.verdict for one in found if one.finding} == {Verdict.REAL}
    assert {one.finding.weights_name for one in found if one.finding} == {"active"}


def test_a_deleted_analysis_is_compared_no_more(both: Services) -> None:
    both.administration.detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)
    judge(both)

    both.analyses.removal.delete_of_user(OWNER.id)

    assert scans_of(both) == 0


def test_a_run_that_has_ended_sees_no_new_scans(both: Services) -> None:
    detectors = both.administration.detectors
    detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)
    judge(both)
    detectors.stop_shadow(LUNG, actor=OWNER.id)

    analysis = both.analyses.submit(OWNER, LUNG, png_bytes())
    both.analyses.wait(analysis.id, 30)

    assert report_of(both).run.ended is not None
    assert scans_of(both) == 1


def test_an_activation_ends_the_run(both: Services) -> None:
    detectors = both.administration.detectors
    detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)

    detectors.activate(LUNG, "candidate", actor=OWNER.id)

    assert report_of(both).run.ended is not None


def test_a_run_goes_on_after_a_restart(
    both: Services, tmp_path: Path, passwords: PasswordService, decoding_pool: DecodingPool
) -> None:
    both.administration.detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)
    both.stop()

    again = start(tmp_path, passwords, decoding_pool)
    try:
        judge(again)
        assert scans_of(again) == 1
    finally:
        again.stop()


def test_a_run_whose_candidate_is_gone_ends_at_the_restart(
    both: Services, tmp_path: Path, passwords: PasswordService, decoding_pool: DecodingPool
) -> None:
    both.administration.detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)
    both.stop()
    (tmp_path / "weights" / LUNG / "candidate.safetensors").unlink()

    again = start(tmp_path, passwords, decoding_pool)
    try:
        assert report_of(again).run.ended is not None
    finally:
        again.stop()


def test_an_engine_without_a_second_place_says_so(held: Services) -> None:
    detectors = held.administration.detectors

    assert not detectors.can_shadow
    with pytest.raises(ShadowUnavailableError):
        detectors.start_shadow(LUNG, "tiny", actor=OWNER.id)


def test_agreement_is_counted_by_verdict() -> None:
    run = ShadowRun(
        id=uuid4(),
        modality=LUNG,
        candidate_name="b",
        candidate_sha256="b" * 64,
        active_name="a",
        active_sha256="a" * 64,
        started=utc_now(),
    )
    pairs = [(Verdict.REAL, Verdict.REAL)] * 3 + [(Verdict.FAKE, Verdict.INCONCLUSIVE)]

    report = summed_up(
        run,
        [
            Comparison(
                analysis_id=uuid4(),
                active=active,
                active_probability=0.5,
                candidate=candidate,
                candidate_probability=0.5,
            )
            for active, candidate in pairs
        ],
    )

    assert (report.scans, report.agreeing) == (4, 3)
    assert report.table == ((3, 0, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0))
    assert report.interval == pytest.approx((0.194, 0.994), abs=1e-3)


def test_a_candidate_is_not_loaded_again_with_each_request(
    both: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.administration.detectors.start_shadow(LUNG, "candidate", actor=OWNER.id)
    loaded: list[str] = []
    monkeypatch.setattr(both.engine, "start_shadow", lambda _modality, name: loaded.append(name))

    both.start()  # as each request does

    assert loaded == []
