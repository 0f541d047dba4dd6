import threading
import time

import pytest
import torch

from app.detection.architectures import build
from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.engine.backends import CpuBackend, GreyReader
from app.engine.batching import Pace, ScanQueue, WaitingScan
from app.engine.protocol import Judgement
from app.engine.serving import Serving
from app.errors import EngineStoppedError, InferenceFailedError, QueueFullError
from tests.factories import make_card


def serving_of(modality: str) -> Serving:
    card = make_card(modality)
    reader = GreyReader(build(card.architecture), card.preprocessing)
    return Serving(modality=modality, card=card, backend=CpuBackend(reader))


LUNG, KNEE = serving_of("lung_ct"), serving_of("knee_xray")


def waiting(serving: Serving = LUNG) -> WaitingScan:
    return WaitingScan(serving=serving, square=torch.zeros(4, 4), height=4, width=4)


def queue_of(*scans: WaitingScan, max_scans: int = 10) -> ScanQueue:
    queue = ScanQueue(max_scans, Pace())
    for scan in scans:
        queue.put(scan)
    return queue


def take(queue: ScanQueue, limit: int = 4) -> list[WaitingScan]:
    return queue.take(lambda _: limit)


# --- forming batches ------------------------------------------------------------------------


def test_scans_of_one_modality_leave_together_in_the_order_of_arrival() -> None:
    lung = [waiting(LUNG) for _ in range(3)]
    knee = [waiting(KNEE) for _ in range(2)]
    queue = queue_of(lung[0], knee[0], lung[1], knee[1], lung[2])

    assert take(queue) == lung
    assert take(queue) == knee
    assert len(queue) == 0


def test_a_batch_is_never_larger_than_its_limit() -> None:
    scans = [waiting() for _ in range(5)]
    queue = queue_of(*scans)

    assert [take(queue, limit=2) for _ in range(3)] == [scans[:2], scans[2:4], scans[4:]]


def test_the_oldest_scan_never_waits_behind_a_more_popular_modality() -> None:
    knee = waiting(KNEE)
    queue = queue_of(waiting(LUNG), knee, *(waiting(LUNG) for _ in range(8)))

    take(queue, limit=1)

    assert take(queue, limit=4) == [knee]


def test_the_limit_is_asked_for_what_serves_the_batch() -> None:
    queue = queue_of(*(waiting(KNEE) for _ in range(3)))

    assert len(queue.take(lambda serving: 2 if serving is KNEE else 9)) == 2


def test_scans_that_two_checkpoints_took_in_never_share_a_batch() -> None:
    newer = serving_of("lung_ct")
    scans = [waiting(LUNG), waiting(newer), waiting(LUNG)]
    queue = queue_of(*scans)

    assert take(queue) == [scans[0], scans[2]]
    assert take(queue) == [scans[1]]


def test_a_scan_that_comes_to_an_idle_engine_leaves_at_once() -> None:
    queue = queue_of(waiting())
    started_s = time.perf_counter()

    assert len(take(queue)) == 1
    assert time.perf_counter() - started_s < 1


def test_a_taker_sleeps_until_a_scan_comes() -> None:
    queue = queue_of()
    scan = waiting()
    threading.Timer(0.05, queue.put, [scan]).start()

    assert take(queue) == [scan]


# --- its bounds -----------------------------------------------------------------------------


def test_a_full_queue_turns_scans_away_and_takes_them_again_when_there_is_room() -> None:
    queue = queue_of(waiting(), waiting(), max_scans=2)

    with pytest.raises(QueueFullError):
        queue.put(waiting())
    with pytest.raises(QueueFullError):
        queue.check_room()
    take(queue, limit=1)
    queue.put(waiting())

    assert len(queue) == 2


def test_a_queue_for_nobody_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="max_scans"):
        ScanQueue(0, Pace())


def test_closing_hands_back_what_was_waiting_and_wakes_the_taker() -> None:
    scans = [waiting(), waiting()]
    queue = queue_of(*scans)

    assert queue.close() == scans
    assert queue.close() == []
    assert queue.is_closed
    assert take(queue) == []
    with pytest.raises(EngineStoppedError):
        queue.put(waiting())


def test_many_threads_lose_and_double_nothing() -> None:
    queue = ScanQueue(1000, Pace())
    scans = [waiting(LUNG if number % 3 else KNEE) for number in range(400)]
    taken: list[WaitingScan] = []

    def put(part: list[WaitingScan]) -> None:
        for scan in part:
            queue.put(scan)

    def take_all() -> None:
        while batch := take(queue, limit=7):
            taken.extend(batch)

    putters = [threading.Thread(target=put, args=[scans[n::4]]) for n in range(4)]
    takers = [threading.Thread(target=take_all) for _ in range(3)]
    for thread in putters + takers:
        thread.start()
    for thread in putters:
        thread.join()
    while len(queue):
        time.sleep(0.001)
    queue.close()
    for thread in takers:
        thread.join()

    assert sorted(map(id, taken)) == sorted(map(id, scans))


# --- answering ------------------------------------------------------------------------------


def judgement() -> Judgement:
    finding = Finding(
        verdict=Verdict.REAL,
        probability_fake=0.1,
        threshold=0.5,
        inconclusive_band=(0.3, 0.7),
        reasons=(),
        weights_name="tiny",
        weights_sha256="0" * 64,
        device="cpu",
        inference_ms=1.0,
    )
    return Judgement(finding=finding, heatmap=torch.zeros(1, 1).numpy())


def test_the_first_answer_counts_and_a_second_does_no_harm() -> None:
    scan, other = waiting(), waiting()
    answer = judgement()

    scan.succeed(answer)
    scan.fail(InferenceFailedError())
    other.fail(InferenceFailedError())
    other.succeed(answer)

    assert scan.future.result() is answer
    assert isinstance(other.future.exception(), InferenceFailedError)


def test_a_cancelled_scan_cannot_be_claimed_and_a_claimed_one_not_cancelled() -> None:
    cancelled, claimed = waiting(), waiting()

    assert cancelled.future.cancel()
    assert not cancelled.claim()
    cancelled.fail(EngineStoppedError())
    assert claimed.claim()
    assert not claimed.future.cancel()


# --- how long it takes ----------------------------------------------------------------------


def test_the_estimate_follows_the_recent_pace() -> None:
    pace = Pace()
    pace.record(scans=1, seconds=2.0)
    pace.record(scans=3, seconds=2.0)

    assert pace.estimate_s(10) == 10
    for _ in range(100):
        pace.record(scans=1, seconds=0.0625)
    assert pace.estimate_s(10) == 1
    assert pace.estimate_s(160) == 10


def test_the_estimate_is_at_least_a_second_even_before_the_first_scan() -> None:
    assert Pace().estimate_s(0) == 1
    assert Pace().estimate_s(5) >= 1
