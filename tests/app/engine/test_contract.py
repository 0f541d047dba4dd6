"""What every engine does, whatever runs the networks: one suite for all of them."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch

from app.detection.labels import Verdict
from app.detection.spec import modalities
from app.engine.engine import InProcessEngine
from app.engine.protocol import CPU, CUDA, Engine, Judgement
from app.errors import (
    EngineError,
    EngineStoppedError,
    ModalityUnavailableError,
    QueueFullError,
    UnknownModalityError,
    WeightsMissingError,
)
from tests.app.engine.gated import error_of, result
from tests.factories import (
    activate,
    make_grey,
    operating_point_for,
    publish_tiny_gate,
    publish_tiny_weights,
)

OPENVINO = "cpu (openvino)"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


def make_engine(kind: str, folder: Path, weights_dir: Path, max_queue: int = 64) -> InProcessEngine:
    """Return an engine of a kind; a new implementation of the protocol is one more kind."""
    return InProcessEngine(
        weights_dir,
        max_queue=max_queue,
        max_batch=8,
        device=CUDA if kind == CUDA else CPU,
        threads=1,
        graphs_dir=folder / "graphs" if kind == OPENVINO else None,
    )


@pytest.fixture(scope="module", params=[CPU, OPENVINO, pytest.param(CUDA, marks=needs_gpu)])
def kind(request: pytest.FixtureRequest) -> str:
    """Where the networks run."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of both modalities, for lung CT two checkpoints and a gate."""
    weights_dir = tmp_path_factory.mktemp("contract")
    publish_tiny_weights(weights_dir, "knee_xray", seed=1)
    for name, verdict in (("suspicious", Verdict.FAKE), ("trusting", Verdict.REAL)):
        point = operating_point_for(verdict)
        publish_tiny_weights(weights_dir, "lung_ct", name=name, operating_point=point)
    publish_tiny_gate(weights_dir, "lung_ct", lets_pass=True)
    return weights_dir


@pytest.fixture(scope="module")
def serving(
    kind: str, own_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine that has started."""
    engine = make_engine(kind, tmp_path_factory.mktemp("data"), own_weights)
    engine.start()
    yield engine
    engine.stop()


# --- judging --------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", modalities())
def test_a_scan_is_judged_with_a_map_of_the_same_field_of_view(
    serving: Engine, kind: str, modality: str
) -> None:
    judgement = result(serving.submit(modality, make_grey(200, 100)))

    card = serving.availability()[modality].card
    assert card is not None
    assert judgement.finding.device == kind
    assert judgement.finding.weights_sha256 == card.sha256
    assert judgement.heatmap is not None
    assert judgement.heatmap.dtype == np.float32
    assert judgement.heatmap.shape[1] == pytest.approx(2 * judgement.heatmap.shape[0], rel=0.3)
    assert 0 <= judgement.heatmap.min() <= judgement.heatmap.max() <= 1


def test_the_same_scan_gets_the_same_verdict_again(serving: Engine) -> None:
    first, second = (result(serving.submit("lung_ct", make_grey(seed=4))) for _ in range(2))

    assert first.finding.probability_fake == second.finding.probability_fake


@pytest.mark.parametrize(
    "scan",
    [np.zeros((2, 80, 80), np.float32), np.full((80, 80), np.nan, np.float32)],
    ids=["three dimensions", "not a number"],
)
def test_the_future_of_an_impossible_scan_is_completed_with_an_engine_error(
    serving: Engine, scan: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    assert isinstance(error_of(serving.submit("lung_ct", scan)), EngineError)
    result(serving.submit("lung_ct", make_grey()))


def test_an_unknown_modality_is_an_error_wherever_it_is_named(serving: Engine) -> None:
    with pytest.raises(UnknownModalityError):
        serving.submit("toe", make_grey())
    with pytest.raises(UnknownModalityError):
        serving.candidates("toe")
    with pytest.raises(UnknownModalityError):
        serving.activate("toe", "tiny")


def test_more_scans_than_may_wait_are_refused_and_the_accepted_ones_are_judged(
    kind: str, own_weights: Path, tmp_path: Path
) -> None:
    engine = make_engine(kind, tmp_path, own_weights, max_queue=3)
    engine.start()
    futures: list[Future[Judgement]] = []

    def fill() -> None:
        scan = make_grey()
        futures.extend(engine.submit("lung_ct", scan) for _ in range(400))

    with pytest.raises(QueueFullError) as raised:
        fill()

    assert raised.value.retry_after_s >= 1
    assert engine.queue_length() <= 3
    with pytest.raises(QueueFullError):
        engine.check_room(4)
    for future in futures:
        result(future)
    engine.stop()


def test_starting_twice_is_starting_once_and_a_stopped_engine_takes_nothing(
    kind: str, own_weights: Path, tmp_path: Path
) -> None:
    engine = make_engine(kind, tmp_path, own_weights)
    engine.start()
    engine.start()
    futures = [engine.submit("lung_ct", make_grey(seed=seed)) for seed in range(20)]

    engine.stop()

    for future in futures:
        error = error_of(future)
        assert error is None or isinstance(error, EngineStoppedError)
    for act in (
        engine.start,
        engine.check_room,
        lambda: engine.submit("lung_ct", make_grey()),
        lambda: engine.activate("lung_ct", "trusting"),
    ):
        with pytest.raises(EngineStoppedError):
            act()


def test_an_engine_that_has_not_started_serves_nothing(
    kind: str, own_weights: Path, tmp_path: Path
) -> None:
    engine = make_engine(kind, tmp_path, own_weights)

    assert not any(state.is_available for state in engine.availability().values())
    with pytest.raises(ModalityUnavailableError):
        engine.submit("lung_ct", make_grey())
    with pytest.raises(EngineStoppedError):
        engine.activate("lung_ct", "trusting")


# --- changing what serves -------------------------------------------------------------------


def test_the_candidates_are_the_checkpoints_and_one_of_them_is_active(serving: Engine) -> None:
    candidates = {one.name: one for one in serving.candidates("lung_ct")}

    assert list(candidates) == ["suspicious", "trusting"]
    assert sum(one.is_active for one in candidates.values()) == 1
    assert all(one.card and one.problem is None for one in candidates.values())


def test_another_checkpoint_takes_over_while_scans_come_in_and_none_is_lost(
    serving: Engine,
) -> None:
    swapped = threading.Event()
    answers: list[Future[Judgement]] = []

    def post() -> None:
        while not swapped.is_set():
            answers.append(serving.submit("lung_ct", make_grey()))
            result(answers[-1])

    senders = [threading.Thread(target=post) for _ in range(4)]
    for sender in senders:
        sender.start()
    for name in ("suspicious", "trusting", "suspicious"):
        card = serving.activate("lung_ct", name)
        assert serving.availability()["lung_ct"].card == card
        assert [one.name for one in serving.candidates("lung_ct") if one.is_active] == [name]
    swapped.set()
    for sender in senders:
        sender.join()

    assert result(serving.submit("lung_ct", make_grey())).finding.verdict is Verdict.FAKE
    for answer in answers:
        finding = result(answer).finding
        expected = Verdict.FAKE if finding.weights_name == "suspicious" else Verdict.REAL
        assert finding.verdict is expected


@pytest.mark.parametrize("name", ["", "gate", "nothing", "../knee_xray/tiny", "lung_ct/trusting"])
def test_a_name_that_is_no_candidate_is_refused(serving: Engine, name: str) -> None:
    before = serving.availability()["lung_ct"].card

    with pytest.raises(WeightsMissingError):
        serving.activate("lung_ct", name)

    assert serving.availability()["lung_ct"].card == before


def test_the_choice_outlives_a_restart(kind: str, own_weights: Path, tmp_path: Path) -> None:
    engine = make_engine(kind, tmp_path, own_weights)
    engine.start()
    engine.activate("lung_ct", "trusting")
    engine.stop()

    again = make_engine(kind, tmp_path, own_weights)
    again.start()

    card = again.availability()["lung_ct"].card
    assert card is not None
    assert card.name == "trusting"
    again.stop()
    activate(own_weights, {"lung_ct": "suspicious"})
