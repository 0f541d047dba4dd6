import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.config import Settings
from app.detection.labels import Verdict
from app.engine.engine import InProcessEngine
from app.errors import (
    InferenceFailedError,
    NotFoundError,
    QueueFullError,
    ScanMissingError,
    StorageError,
)
from app.records import Analysis, AnalysisStatus
from app.services.accounts.passwords import PasswordService
from app.services.container import Services, build_services
from tests.app.services.conftest import OWNER, HeldEngine
from tests.factories import make_grey, png16_bytes, png_bytes

DEADLINE_S = 30.0


def gate_of(services: Services) -> HeldEngine:
    assert isinstance(services.engine, HeldEngine)
    return services.engine


def submit(services: Services, data: bytes | None = None) -> Analysis:
    return services.analyses.submit(OWNER, "lung_ct", data or png_bytes())


def status_of(services: Services, analysis: Analysis) -> AnalysisStatus:
    return services.analyses.get(OWNER, analysis.id).status


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def restarted(services: Services, passwords: PasswordService) -> Services:
    """Stop the services and start new ones on the same data and weights."""
    services.stop()
    settings = services.settings
    engine = InProcessEngine(
        settings.weights_dir, max_queue=2, max_batch=1, device="cpu", threads=1
    )
    fresh = build_services(settings, engine, passwords)
    fresh.start()
    return fresh


def test_an_analysis_is_queued_then_running_then_done(held: Services) -> None:
    analysis = submit(held)
    assert status_of(held, analysis) is AnalysisStatus.QUEUED

    finish = gate_of(held).run_first()
    assert status_of(held, analysis) is AnalysisStatus.RUNNING
    assert held.analyses.history(OWNER).analyses[0].status is AnalysisStatus.RUNNING

    finish()
    assert held.analyses.wait(analysis.id, DEADLINE_S).status is AnalysisStatus.DONE


def test_waiting_ends_at_its_deadline(held: Services) -> None:
    analysis = submit(held)

    begin_s = time.monotonic()
    waited = held.analyses.wait(analysis.id, 0.05)

    assert waited.status is AnalysisStatus.QUEUED
    assert time.monotonic() - begin_s < 5
    with pytest.raises(NotFoundError):
        held.analyses.heatmap_png(OWNER, analysis.id)


def test_whoever_waits_sees_the_stored_result_as_soon_as_it_is_there(held: Services) -> None:
    analysis = submit(held)
    seen: list[AnalysisStatus] = []

    def wait() -> None:
        seen.append(held.analyses.wait(analysis.id, DEADLINE_S).status)

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    gate_of(held).run_first()()
    for waiter in waiters:
        waiter.join()

    assert seen == [AnalysisStatus.DONE] * 3


@pytest.mark.parametrize(
    "error", [InferenceFailedError(), RuntimeError("CUDA error at /secret/path")]
)
def test_a_failure_in_the_engine_is_told_in_words_for_the_user(
    held: Services, error: Exception
) -> None:
    analysis = submit(held)

    gate_of(held).fail_first(error)
    ended = held.analyses.wait(analysis.id, DEADLINE_S)

    assert ended.status is AnalysisStatus.FAILED
    assert ended.error == str(InferenceFailedError())
    assert ended.finding is None
    assert ended.finished is not None


def test_what_is_deleted_before_its_turn_is_not_judged(held: Services) -> None:
    analysis = submit(held)

    held.analyses.delete(OWNER, analysis.id)

    assert gate_of(held).held[0][-1].cancelled()
    assert list((held.settings.data_dir / "images").rglob("*.png")) == []


def test_what_is_deleted_while_it_is_judged_stays_deleted(held: Services) -> None:
    analysis = submit(held)
    finish = gate_of(held).run_first()

    held.analyses.delete(OWNER, analysis.id)
    finish()
    with pytest.raises(NotFoundError):
        held.analyses.wait(analysis.id, DEADLINE_S)
    held.analyses.close()

    assert list((held.settings.data_dir / "images").rglob("*.png")) == []
    assert held.analyses.history(OWNER).total == 0


def test_a_result_whose_heatmap_cannot_be_stored_is_a_failure_that_says_so(
    held: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    analysis = submit(held)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        gate_of(held).run_first()()
        waited = held.analyses.wait(analysis.id, DEADLINE_S)

    assert waited.status is AnalysisStatus.FAILED
    assert waited.finding is None
    assert "No space left on device" in str(waited.error)
    assert "could not be stored" in caplog.text


def test_a_result_that_cannot_be_recorded_at_all_waits_for_the_next_start(
    held: Services, passwords: PasswordService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("The database is on holiday.")

    analysis = submit(held)
    with monkeypatch.context() as patch:
        patch.setattr("app.storage.analyses.AnalysisStore.update", fail)
        gate_of(held).run_first()()
        waited = held.analyses.wait(analysis.id, DEADLINE_S)
    assert waited.status is AnalysisStatus.QUEUED

    fresh = restarted(held, passwords)
    assert eventually(lambda: status_of(fresh, analysis) is AnalysisStatus.DONE)
    fresh.stop()


def test_a_result_that_could_not_be_recorded_is_judged_again_as_soon_as_it_can_be(
    held: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("backlog", "judging"):
        monkeypatch.setattr(f"app.services.analyses.{module}.RETRY_S", 0.01)
    attempts = []

    def fail(*_: object) -> None:
        attempts.append(len(gate_of(held).held))
        raise StorageError("The database is on holiday.")

    analysis = submit(held)
    with monkeypatch.context() as patch:
        patch.setattr("app.storage.analyses.AnalysisStore.update", fail)
        gate_of(held).run_first()()
        assert eventually(lambda: len(attempts) > 5)
        assert set(attempts) == {0}  # the engine is spared what could not be kept anyway
        assert status_of(held, analysis) is AnalysisStatus.QUEUED

    assert eventually(lambda: len(gate_of(held).held) == 1)
    gate_of(held).run_first()()
    assert held.analyses.wait(analysis.id, DEADLINE_S).status is AnalysisStatus.DONE


def test_what_a_restart_interrupted_is_judged_after_it(
    held: Services, passwords: PasswordService
) -> None:
    scans = [png16_bytes(make_grey(seed=seed)) for seed in range(4)]
    interrupted = [submit(held, data) for data in scans]  # more than the new queue holds

    fresh = restarted(held, passwords)

    assert eventually(lambda: all(status_of(fresh, a) is AnalysisStatus.DONE for a in interrupted))
    for analysis, data in zip(interrupted, scans, strict=True):
        resumed = fresh.analyses.get(OWNER, analysis.id).finding
        direct = fresh.analyses.wait(submit(fresh, data).id, DEADLINE_S).finding
        assert resumed is not None
        assert direct is not None
        assert resumed.probability_fake == direct.probability_fake
    fresh.stop()


def test_what_is_running_is_not_taken_up_a_second_time(held: Services) -> None:
    submit(held)

    held.analyses.resume()
    held.start()
    time.sleep(0.1)

    assert len(gate_of(held).held) == 1


@pytest.mark.parametrize("damage", ["missing", "truncated", "not a picture"])
def test_an_interrupted_analysis_without_its_picture_fails(
    held: Services, passwords: PasswordService, damage: str
) -> None:
    broken, intact = submit(held), submit(held)
    picture = next((held.settings.data_dir / "images").rglob(f"{broken.id.hex}.scan.png"))
    if damage == "missing":
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[:100] if damage == "truncated" else b"?")

    fresh = restarted(held, passwords)

    assert eventually(lambda: status_of(fresh, intact) is AnalysisStatus.DONE)
    failed = fresh.analyses.get(OWNER, broken.id)
    assert failed.status is AnalysisStatus.FAILED
    assert failed.error == "The scan is no longer stored. Upload it again."
    fresh.stop()


def test_an_interrupted_analysis_whose_weights_are_gone_fails_with_the_reason(
    tmp_path: Path, held: Services, passwords: PasswordService
) -> None:
    analysis = submit(held)
    elsewhere = replace(held, settings=replace(held.settings, weights_dir=tmp_path / "none"))

    fresh = restarted(elsewhere, passwords)

    assert eventually(lambda: status_of(fresh, analysis) is AnalysisStatus.FAILED)
    assert "cannot be analysed at present" in str(fresh.analyses.get(OWNER, analysis.id).error)
    fresh.stop()


def test_building_services_on_the_same_data_disturbs_no_running_analysis(
    held: Services, passwords: PasswordService
) -> None:
    analysis = submit(held)

    # As ``flask create-admin`` does while the server runs.
    engine = InProcessEngine(held.settings.weights_dir, max_queue=2, max_batch=1, device="cpu")
    build_services(held.settings, engine, passwords).stop()

    assert status_of(held, analysis) is AnalysisStatus.QUEUED
    assert len(gate_of(held).held) == 1
    gate_of(held).run_first()()
    assert held.analyses.wait(analysis.id, DEADLINE_S).status is AnalysisStatus.DONE


def test_stopping_twice_does_no_harm(
    settings: Settings, engine: InProcessEngine, passwords: PasswordService
) -> None:
    services = build_services(settings, engine, passwords)
    services.start()

    services.stop()
    services.stop()


# --- judging again what the gate stopped -----------------------------------------------------


def stopped_in(services: Services) -> Analysis:
    """Return an analysis that a gate has stopped."""
    analysis = submit(services)
    gate_of(services).run_first()()
    done = services.analyses.wait(analysis.id, DEADLINE_S)
    assert done.finding is not None
    finding = replace(done.finding, verdict=Verdict.NOT_JUDGED, probability_fake=None)
    stopped = replace(done, finding=finding)
    services.analyses._store.update(stopped)
    return stopped


def test_what_is_judged_again_tells_the_engine_to_override_the_gate(held: Services) -> None:
    stopped = stopped_in(held)

    queued = held.analyses.judge_anyway(OWNER, stopped.id)

    assert queued.status is AnalysisStatus.QUEUED
    assert status_of(held, stopped) is AnalysisStatus.QUEUED
    ((_, _, override_gate, _),) = gate_of(held).held
    assert override_gate
    gate_of(held).run_first()()
    judged = held.analyses.wait(stopped.id, DEADLINE_S)
    assert judged.override_gate
    assert judged.finding is not None
    assert judged.finding.verdict is not Verdict.NOT_JUDGED


def test_a_full_queue_leaves_a_stopped_scan_as_it_was(held: Services) -> None:
    stopped = stopped_in(held)
    gate_of(held)._capacity = 0

    with pytest.raises(QueueFullError):
        held.analyses.judge_anyway(OWNER, stopped.id)

    assert held.analyses.get(OWNER, stopped.id) == stopped


def test_a_stopped_scan_whose_picture_is_gone_cannot_be_judged_again(held: Services) -> None:
    stopped = stopped_in(held)
    held.analyses._images.delete(stopped.id)

    with pytest.raises(ScanMissingError):
        held.analyses.judge_anyway(OWNER, stopped.id)

    assert held.analyses.get(OWNER, stopped.id) == stopped


def test_judging_again_goes_on_after_a_restart(held: Services, passwords: PasswordService) -> None:
    stopped = stopped_in(held)
    held.analyses.judge_anyway(OWNER, stopped.id)

    fresh = restarted(held, passwords)

    assert eventually(lambda: status_of(fresh, stopped) is AnalysisStatus.DONE)
    judged = fresh.analyses.get(OWNER, stopped.id)
    assert judged.override_gate
    assert not judged.is_not_judged
    fresh.stop()
