import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.detection.preprocessing import preprocess
from app.detection.spec import modalities
from app.detection.weights import active_checkpoint, load_detector
from app.engine.batching import WaitingScan
from app.engine.engine import InProcessEngine
from app.errors import InferenceFailedError, QueueFullError
from tests.app.engine.gated import POISON, Gate, error_of, new_engine, result
from tests.factories import make_grey

# --- when there is much to do ---------------------------------------------------------------


def test_a_full_queue_turns_scans_away_and_says_when_to_come_again(
    tiny_weights_dir: Path, gate: Gate
) -> None:
    engine = new_engine(tiny_weights_dir, max_queue=2)
    engine.start()
    gate.close()
    futures = [engine.submit("lung_ct", make_grey())]
    gate.wait_for_arrival()
    futures += [engine.submit("lung_ct", make_grey()) for _ in range(2)]

    with pytest.raises(QueueFullError, match="Try again in about") as raised:
        engine.submit("knee_xray", make_grey())

    assert raised.value.retry_after_s >= 1
    assert engine.queue_length() == 2
    gate.open()
    for future in futures:
        result(future)
    result(engine.submit("knee_xray", make_grey()))
    engine.stop()


def test_scans_that_wait_while_the_network_is_busy_are_judged_together(
    tiny_weights_dir: Path, gate: Gate, batches_of_eight: list[int]
) -> None:
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    futures = [engine.submit("lung_ct", make_grey())]
    gate.wait_for_arrival()
    futures += [engine.submit("lung_ct", make_grey(seed=seed)) for seed in range(11)]
    batches_of_eight.clear()

    gate.open()
    for future in futures:
        result(future)

    assert batches_of_eight[-2:] == [8, 3]
    engine.stop()


def test_a_cancelled_scan_is_passed_over(tiny_weights_dir: Path, gate: Gate) -> None:
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    first = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()
    cancelled, last = (engine.submit("lung_ct", make_grey()) for _ in range(2))

    assert cancelled.cancel()
    gate.open()

    result(first)
    result(last)
    engine.stop()


def test_many_threads_at_once_each_get_the_answer_to_their_own_scan(
    batches_of_eight: list[int], engine: InProcessEngine, tiny_weights_dir: Path
) -> None:
    scans = [make_grey(64 + seed % 5, 64, seed=seed) for seed in range(48)]
    keys = [list(modalities())[seed % 2] for seed in range(48)]
    detectors = {
        key: load_detector(active_checkpoint(tiny_weights_dir, key)) for key in modalities()
    }

    def judge(number: int) -> float:
        probability = result(engine.submit(keys[number], scans[number])).finding.probability_fake
        assert probability is not None
        return probability

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(judge, range(48)))

    for scan, key, answer in zip(scans, keys, answers, strict=True):
        card, network = detectors[key].card, detectors[key].network
        with torch.inference_mode():
            logit = float(network(preprocess(scan, card.preprocessing)[None]).logits[0])
        assert answer == pytest.approx(card.operating_point.probability(logit), abs=1e-6)
    assert len(set(answers)) == 48
    assert max(batches_of_eight) > 1
    assert engine.queue_length() == 0


# --- when something goes wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    "scan",
    [
        np.zeros((2, 80, 80), np.float32),
        np.zeros(80, np.float32),
        np.zeros((0, 80), np.float32),
        np.full((80, 80), np.nan, np.float32),
    ],
    ids=["three dimensions", "one dimension", "empty", "not a number"],
)
def test_a_scan_that_is_none_fails_alone(
    engine: InProcessEngine, scan: NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    failed = engine.submit("lung_ct", scan)
    sound = engine.submit("lung_ct", make_grey())

    assert isinstance(error_of(failed), InferenceFailedError)
    result(sound)
    assert "lung_ct" in caplog.text


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_poisoned_scan_does_not_fail_the_others_of_its_batch(
    tiny_weights_dir: Path,
    gate: Gate,
    batches_of_eight: list[int],
    caplog: pytest.LogCaptureFixture,
    place: int,
) -> None:
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    first = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()
    scans = [make_grey(64, 64, seed=seed) for seed in range(7)]
    scans[place] = np.full((64, 64), POISON, np.float32)
    futures = [engine.submit("lung_ct", scan) for scan in scans]

    gate.open()

    result(first)
    assert isinstance(error_of(futures.pop(place)), InferenceFailedError)
    for future in futures:
        result(future)
    assert "poisoned" in caplog.text  # the traceback is in the log
    assert str(POISON) not in caplog.text  # the scan is not
    engine.stop()


def test_a_bug_in_the_worker_costs_its_own_scans_and_no_others(
    tiny_weights_dir: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    gate.kills_the_worker = True
    in_flight = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()
    waiting = engine.submit("lung_ct", make_grey(seed=1))

    gate.open()

    assert isinstance(error_of(in_flight), InferenceFailedError)
    result(waiting)
    result(engine.submit("knee_xray", make_grey()))
    assert "begins again" in caplog.text
    engine.stop()


def test_a_bug_in_the_queue_does_not_end_the_worker(
    tiny_weights_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = new_engine(tiny_weights_dir)
    take = engine._queue.take
    bugs = iter([KeyError("a bug"), SystemExit()])

    def take_badly(*arguments: Any) -> list[WaitingScan]:
        for bug in bugs:
            raise bug
        return take(*arguments)

    monkeypatch.setattr(engine._queue, "take", take_badly)
    engine.start()

    result(engine.submit("lung_ct", make_grey()))
    assert caplog.text.count("begins again") == 2
    engine.stop()


def test_a_sender_whose_callback_fails_does_not_stop_the_engine(
    engine: InProcessEngine, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(_future: object) -> None:
        raise RuntimeError("a bug of the sender")

    future = engine.submit("lung_ct", make_grey())
    future.add_done_callback(callback)

    result(future)
    result(engine.submit("lung_ct", make_grey()))


def test_nothing_of_a_scan_is_logged(
    engine: InProcessEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    result(engine.submit("lung_ct", make_grey()))

    assert not [record for record in caplog.records if record.name.startswith("app.engine")]
