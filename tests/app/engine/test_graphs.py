import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector, build
from app.detection.card import ArchitectureSpec
from app.engine import graphs as graphs_module
from app.engine.backends import BatchOutput, CpuBackend, GreyReader, Machine, make_backend
from app.engine.graphs import (
    SUFFIX,
    UNUSED_S,
    GraphBackend,
    GraphCache,
    StoredGraph,
    known_square,
)
from app.errors import WeightsDamagedError
from tests.factories import make_card, publish_tiny_weights

CARD = make_card()
ROOT = Path(__file__).parents[3]
NOTHING = StoredGraph(np.zeros(2, np.float32), b"")


def network(seed: int = 0) -> Detector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(CARD.architecture).eval()


def on(folder: Path) -> Machine:
    return Machine(device="cpu", threads=1, graphs_dir=folder)


def said(backend: object) -> BatchOutput:
    assert isinstance(backend, CpuBackend | GraphBackend)
    return backend.run(known_square(64)[None])


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of the inputs of the networks that were exported."""
    sides: list[int] = []
    export = graphs_module._exported

    def noted(reader: GreyReader, side: int, options: dict[str, object]) -> object:
        sides.append(side)
        return export(reader, side, options)

    monkeypatch.setattr(graphs_module, "_exported", noted)
    return sides


def stored(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


# --- what is kept ---------------------------------------------------------------------------


def test_a_graph_is_exported_once_and_read_back_later(tmp_path: Path, exports: list[int]) -> None:
    def not_needed() -> Detector:
        raise AssertionError("the network was built though its graph is stored")

    first = make_backend(network, CARD, on(tmp_path))
    second = make_backend(not_needed, CARD, on(tmp_path))

    assert exports == [64]
    assert np.array_equal(said(first).logits, said(second).logits)
    assert said(second).device == "cpu (openvino)"
    assert stored(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("stem_stride", [2, [1, 2]])
def test_the_graph_of_a_network_that_looks_several_times_says_what_the_network_says(
    tmp_path: Path, stem_stride: int | list[int]
) -> None:
    looks = {"mirrored": True, "stem_stride": stem_stride}
    arguments = {"image_size": 64, "sharpness": 1.0, **looks}
    spec = ArchitectureSpec(name="efficientnet_b4", arguments=arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        both = build(spec).eval()
    square = known_square(64)

    graph = make_backend(lambda: both, make_card(architecture=spec), on(tmp_path))

    assert isinstance(graph, GraphBackend)
    expected, found, mirrored = (
        backend.run(image[None])
        for backend, image in (
            (CpuBackend(GreyReader(both, make_card().preprocessing)), square),
            (graph, square),
            (graph, square.flip(-1)),
        )
    )
    assert np.allclose(found.logits, expected.logits, atol=1e-3)
    assert np.allclose(found.evidence, expected.evidence, atol=1e-3)
    assert np.allclose(mirrored.evidence[..., ::-1], found.evidence, atol=1e-3)


def test_a_server_is_spared_the_compilers_that_torchvision_brings(
    tmp_path: Path,
) -> None:
    spec = ArchitectureSpec(name="mobilenet_v2", arguments={})
    publish_tiny_weights(tmp_path / "weights", "lung_ct", architecture=spec)
    script = f"""
import sys
from pathlib import Path
from app.engine.engine import InProcessEngine
from tests.factories import make_grey
folder = Path({str(tmp_path)!r})
engine = InProcessEngine(
    folder / "weights", max_queue=4, max_batch=1, device="cpu", graphs_dir=folder / "graphs"
)
engine.start()
ran_on = engine.submit("lung_ct", make_grey()).result(timeout=20).finding.device
print(*sorted({{"torchvision", "torch._dynamo"}} & set(sys.modules)), ran_on)
engine.stop()
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, timeout=90, check=True, capture_output=True
        ).stdout.decode()
        for _ in range(2)
    )

    assert first.strip() == "cpu (openvino)", "it exported its graph itself"
    assert second.strip() == "cpu (openvino)"


def test_a_graph_that_other_code_exported_does_not_serve(
    tmp_path: Path, exports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_backend(network, CARD, on(tmp_path))
    monkeypatch.setattr(graphs_module, "_code", lambda: "another release")

    make_backend(network, CARD, on(tmp_path))

    assert exports == [64, 64]


def test_other_weights_or_another_size_have_a_graph_of_their_own(
    tmp_path: Path, exports: list[int]
) -> None:
    other = make_card(digest="1" * 64)

    make_backend(network, CARD, on(tmp_path))
    make_backend(lambda: network(1), other, on(tmp_path))

    assert exports == [64, 64]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + b"?",
        lambda data: data[:20],
    ],
    ids=["half written", "empty", "a wrong byte", "shorter than its checksum"],
)
def test_a_damaged_graph_is_exported_again(
    tmp_path: Path, exports: list[int], damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    expected = said(make_backend(network, CARD, on(tmp_path)))
    whole = stored(tmp_path).read_bytes()
    stored(tmp_path).write_bytes(damage(whole))

    again = said(make_backend(network, CARD, on(tmp_path)))

    assert exports == [64, 64]
    assert np.array_equal(again.logits, expected.logits)
    make_backend(network, CARD, on(tmp_path))
    assert exports == [64, 64]


def test_a_whole_file_that_is_no_graph_is_exported_again(
    tmp_path: Path, exports: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    make_backend(network, CARD, on(tmp_path))
    no_graph = StoredGraph(np.zeros(17, np.float32), b"this is no graph")
    GraphCache(tmp_path).store(stored(tmp_path).stem, no_graph)

    again = make_backend(network, CARD, on(tmp_path))

    assert said(again).device == "cpu (openvino)"
    assert exports == [64, 64]
    assert "exported again" in caplog.text


def test_a_stored_graph_that_says_something_else_on_this_machine_never_serves(
    tmp_path: Path, exports: list[int]
) -> None:
    expected = said(make_backend(network, CARD, on(tmp_path)))
    key, cache = stored(tmp_path).stem, GraphCache(tmp_path)
    kept = cache.load(key)
    assert kept is not None
    cache.store(key, StoredGraph(kept.answers + np.float32(0.1), kept.graph))

    backend = make_backend(network, CARD, on(tmp_path))

    assert np.allclose(said(backend).logits, expected.logits, atol=1e-5)
    assert exports == [64, 64]


def test_graphs_that_nobody_has_used_for_a_month_are_removed(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path)
    for key in ("unused", "used"):
        cache.store(key, NOTHING)
        long_ago_s = time.time() - UNUSED_S - 60
        os.utime(tmp_path / f"{key}{SUFFIX}", (long_ago_s, long_ago_s))
    cache.load("used")

    cache.store("new", NOTHING)

    assert {path.stem for path in tmp_path.iterdir()} == {"used", "new"}


def test_without_room_on_the_disk_the_graph_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(graphs_module, "write_atomically", full)

    assert said(make_backend(network, CARD, on(tmp_path))).device == "cpu (openvino)"
    assert "could not be stored" in caplog.text


def test_a_folder_that_cannot_be_made_is_no_reason_not_to_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    backend = make_backend(network, CARD, on(tmp_path / "file" / "graphs"))

    assert said(backend).device == "cpu (openvino)"
    assert "could not be stored" in caplog.text


# --- when there is no graph -----------------------------------------------------------------


def test_a_graph_that_says_something_else_never_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Drifting(GraphBackend):
        def run(self, squares: Tensor) -> BatchOutput:
            output = super().run(squares)
            return output._replace(logits=output.logits + np.float32(0.01))

    monkeypatch.setattr(graphs_module, "GraphBackend", Drifting)

    backend = make_backend(network, CARD, on(tmp_path))

    assert isinstance(backend, CpuBackend)
    assert "does not say what its network says" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_exported_runs_in_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("an operation that is not known")

    monkeypatch.setattr(graphs_module, "_exported", refuse)

    assert said(make_backend(network, CARD, on(tmp_path))).device == "cpu"
    assert "runs in PyTorch, which is slower" in caplog.text


def test_weights_of_another_network_are_refused_and_not_called_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> Detector:
        raise WeightsDamagedError("tiny", "its tensors are not the network's")

    with pytest.raises(WeightsDamagedError, match="not the network's"):
        make_backend(refuse, CARD, on(tmp_path))

    assert "slower" not in caplog.text


def test_without_the_runtime_a_network_runs_in_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(graphs_module, "_core", graphs_module._openvino.__wrapped__)

    assert said(make_backend(network, CARD, on(tmp_path))).device == "cpu"
    assert "slower" in caplog.text


def test_nothing_is_reported_to_the_makers_of_the_runtime(tmp_path: Path) -> None:
    make_backend(network, CARD, on(tmp_path))

    assert sys.modules["openvino_telemetry"] is None
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


def test_making_and_using_a_graph_warns_of_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_backend(network, CARD, on(tmp_path))

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
