import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector
from app.detection.card import Card
from app.detection.explain import heatmap
from app.detection.labels import Verdict
from app.detection.preprocessing import preprocess, square_to_scan
from app.detection.spec import modalities
from app.detection.weights import active_checkpoint, check_detector, load_detector
from app.engine import engine as engine_module
from app.engine import serving as serving_module
from app.engine.backends import BatchOutput, CpuBackend, GreyReader, Machine
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.errors import (
    DeviceUnavailableError,
    EngineStoppedError,
    ModalityUnavailableError,
    UnknownModalityError,
)
from tests.app.engine.gated import Gate, error_of, new_engine, result
from tests.factories import TINY_IMAGE_SIZE, make_grey, operating_point_for, publish_tiny_weights

ROOT = Path(__file__).parents[3]


# --- what it answers ------------------------------------------------------------------------


def test_it_is_an_engine(engine: InProcessEngine) -> None:
    protocol: Engine = engine

    assert protocol.device == "cpu"


@pytest.mark.parametrize("modality", modalities())
@pytest.mark.parametrize(("width", "height"), [(64, 64), (200, 120), (70, 300)])
def test_a_scan_gets_what_the_network_itself_says_of_it(
    engine: InProcessEngine, tiny_weights_dir: Path, modality: str, width: int, height: int
) -> None:
    scan = make_grey(width, height, seed=3)
    detector = load_detector(active_checkpoint(tiny_weights_dir, modality))
    point = detector.card.operating_point
    with torch.inference_mode():
        expected = detector.network(preprocess(scan, detector.card.preprocessing)[None])

    judgement = result(engine.submit(modality, scan))

    finding = judgement.finding
    probability = point.probability(float(expected.logits[0]))
    assert finding.probability_fake == pytest.approx(probability, abs=1e-6)
    assert finding.probability_fake is not None
    assert finding.verdict is point.verdict(finding.probability_fake)
    assert finding.threshold == point.threshold
    assert finding.inconclusive_band == point.inconclusive_band
    assert finding.weights_name == detector.card.name
    assert finding.weights_sha256 == detector.card.sha256
    assert finding.device == "cpu"
    assert finding.inference_ms > 0
    assert finding.reasons
    cells = square_to_scan(expected.evidence[0].numpy(), height, width, TINY_IMAGE_SIZE)
    assert judgement.heatmap is not None
    assert judgement.heatmap.dtype == np.float32
    drawn = heatmap(cells, point, finding.probability_fake)
    assert np.allclose(judgement.heatmap, drawn, atol=1e-5)


@pytest.mark.parametrize("verdict", [Verdict.REAL, Verdict.FAKE, Verdict.INCONCLUSIVE])
def test_the_operating_point_of_the_card_decides_the_verdict(
    tmp_path: Path, verdict: Verdict
) -> None:
    publish_tiny_weights(tmp_path, "lung_ct", operating_point=operating_point_for(verdict))
    engine = new_engine(tmp_path)
    engine.start()

    assert result(engine.submit("lung_ct", make_grey())).finding.verdict is verdict
    engine.stop()


# --- which modalities it serves -------------------------------------------------------------


def test_every_modality_with_weights_is_available(
    engine: InProcessEngine, tiny_weights_dir: Path
) -> None:
    available = engine.availability()

    assert list(available) == list(modalities())
    for key, state in available.items():
        assert state.is_available
        assert state.card == load_detector(active_checkpoint(tiny_weights_dir, key)).card
        assert state.reason is None


def spoil(weights_dir: Path, how: str) -> None:
    """Spoil the weights of lung CT in one of the ways that happen."""
    checkpoint = weights_dir / "lung_ct/tiny.safetensors"
    if how == "checkpoint gone":
        checkpoint.unlink()
    elif how == "card gone":
        checkpoint.with_suffix(".json").unlink()
    elif how == "checkpoint damaged":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"?")
    elif how == "card damaged":
        checkpoint.with_suffix(".json").write_text("{}")
    elif how == "not named":
        (weights_dir / "active.toml").write_text('knee_xray = "tiny"\n')
    elif how == "of another modality":
        for suffix in (".json", ".safetensors"):
            other = weights_dir / f"knee_xray/tiny{suffix}"
            checkpoint.with_suffix(suffix).write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("checkpoint gone", "No weights are published"),
        ("card gone", "No weights are published"),
        ("checkpoint damaged", "SHA-256"),
        ("card damaged", "missing"),
        ("not named", "No weights are published for Lung CT"),
        ("of another modality", "for the modality 'knee_xray'"),
    ],
)
def test_without_sound_weights_a_modality_is_unavailable_and_the_other_serves(
    tmp_path: Path, how: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key in modalities():
        publish_tiny_weights(tmp_path, key)
    spoil(tmp_path, how)
    engine = new_engine(tmp_path)
    engine.start()

    lung, knee = engine.availability()["lung_ct"], engine.availability()["knee_xray"]
    assert not lung.is_available
    assert says in (lung.reason or "")
    assert knee.is_available
    with pytest.raises(ModalityUnavailableError, match="Lung CT cannot be analysed") as raised:
        engine.submit("lung_ct", make_grey())
    assert says in str(raised.value)
    result(engine.submit("knee_xray", make_grey()))
    assert "lung_ct is unavailable" in caplog.text
    engine.stop()


def test_weights_that_compute_no_number_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflowing(CpuBackend):
        def run(self, squares: Tensor) -> BatchOutput:
            output = super().run(squares)
            return output._replace(logits=output.logits * np.float32("nan"))

    def make(make_network: Callable[[], Detector], card: Card, _machine: Machine) -> Overflowing:
        return Overflowing(GreyReader(make_network(), card.preprocessing))

    monkeypatch.setattr(serving_module, "make_backend", make)
    publish_tiny_weights(tmp_path, "lung_ct")
    engine = new_engine(tmp_path)
    engine.start()

    assert "no number" in (engine.availability()["lung_ct"].reason or "")
    engine.stop()


def test_a_network_that_does_not_run_here_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(serving_module, "make_backend", refuse)
    publish_tiny_weights(tmp_path, "lung_ct")
    engine = new_engine(tmp_path)
    engine.start()

    assert "does not run" in (engine.availability()["lung_ct"].reason or "")
    engine.stop()


def test_an_unknown_modality_is_an_error(engine: InProcessEngine) -> None:
    with pytest.raises(UnknownModalityError):
        engine.submit("toe", make_grey())


# --- starting and stopping ------------------------------------------------------------------


def test_before_the_start_nothing_is_loaded_and_no_thread_runs(tiny_weights_dir: Path) -> None:
    threads = threading.active_count()
    engine = new_engine(tiny_weights_dir)

    assert threading.active_count() == threads
    assert not any(state.is_available for state in engine.availability().values())
    with pytest.raises(ModalityUnavailableError, match="not loaded yet"):
        engine.submit("lung_ct", make_grey())
    engine.stop()


def test_weights_are_loaded_once_however_often_and_by_whom_it_is_started(
    tiny_weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(path: Path) -> object:
        loaded.append(path)
        return check_detector(path)

    monkeypatch.setattr(serving_module, "check_detector", load)
    engine = new_engine(tiny_weights_dir)
    threads_before = threading.active_count()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: engine.start(), range(12)))
    for _ in range(5):
        result(engine.submit("lung_ct", make_grey()))

    assert len(loaded) == len(modalities())
    assert threading.active_count() == threads_before + 1
    engine.stop()


def test_stopping_turns_waiting_scans_away_and_finishes_the_one_in_the_network(
    tiny_weights_dir: Path, gate: Gate
) -> None:
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    running = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()
    waiting = [engine.submit("lung_ct", make_grey(seed=seed)) for seed in range(3)]

    threading.Timer(0.2, gate.open).start()
    engine.stop()

    result(running)
    for future in waiting:
        assert isinstance(error_of(future), EngineStoppedError)
    with pytest.raises(EngineStoppedError):
        engine.submit("lung_ct", make_grey())
    with pytest.raises(EngineStoppedError):
        engine.start()
    engine.stop()


def test_a_network_that_never_returns_does_not_hold_up_the_stop(
    tiny_weights_dir: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "STOP_TIMEOUT_S", 0.1)
    engine = new_engine(tiny_weights_dir)
    engine.start()
    gate.close()
    stuck = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()

    engine.stop()

    assert isinstance(error_of(stuck), EngineStoppedError)


def test_an_engine_built_before_a_fork_serves_in_the_child(tiny_weights_dir: Path) -> None:
    script = f"""
import os
from pathlib import Path
from app.engine.engine import InProcessEngine
from tests.factories import TINY_IMAGE_SIZE, make_grey
engine = InProcessEngine(Path({str(tiny_weights_dir)!r}), max_queue=4, max_batch=2, device="cpu")
if os.fork() == 0:
    engine.start()
    judgement = engine.submit("lung_ct", make_grey()).result(timeout=20)
    engine.stop()
    os._exit(7 if judgement.finding.device == "cpu" else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=90, check=False)

    assert done.returncode == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_asking_for_a_gpu_where_there_is_none_is_an_error(tiny_weights_dir: Path) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=4, max_batch=2, device="cuda")

    with pytest.raises(DeviceUnavailableError, match="auto or cpu"):
        engine.start()


def test_auto_takes_the_gpu_where_there_is_one(tiny_weights_dir: Path) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=4, max_batch=2)
    engine.start()

    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert engine.device == expected
    assert result(engine.submit("lung_ct", make_grey())).finding.device == expected
    engine.stop()


@pytest.mark.parametrize(
    ("option", "says"),
    [({"device": "tpu"}, "tpu"), ({"max_batch": 0}, "max_batch"), ({"max_queue": 0}, "max_scans")],
)
def test_an_impossible_option_is_refused(
    tmp_path: Path, option: dict[str, int | str], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        InProcessEngine(tmp_path, **({"max_queue": 4, "max_batch": 2} | option))  # type: ignore[arg-type]  # wrong on purpose


def test_an_engine_may_be_told_to_load_one_modality_only(tiny_weights_dir: Path) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=1, max_batch=1)
    engine.start(only={"lung_ct"})
    try:
        served = [key for key, one in engine.availability().items() if one.is_available]
    finally:
        engine.stop()
    assert served == ["lung_ct"]
