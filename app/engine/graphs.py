"""Networks as graphs of OpenVINO, which judge a scan on the CPU faster than PyTorch.

Of the runtimes and precisions that ``tests/benchmarks/runtimes.py`` compares, this one was as fast
as any in float32 and exports a network without a detour through a file format; bfloat16 and 8-bit
integers are faster still, but change verdicts. What is exported is kept in a folder, since an
export takes seconds and reading it back a few tenths.
"""

import importlib
import inspect
import json
import logging
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.detection import architectures, preprocessing
from app.detection.card import Card
from app.detection.gate_card import GateCard
from app.engine.backends import Backend, BatchOutput, CpuBackend, GreyReader
from app.storage.files import make_private_folder, write_atomically

if TYPE_CHECKING:
    from openvino import CompiledModel, Core

DEVICE = "CPU"
RAN_ON = "cpu (openvino)"
FORMAT = 1
SUFFIX = ".graph"
DIGEST_BYTES = 32
LENGTH = struct.Struct("<Q")
UNUSED_S = 30 * 24 * 60 * 60
MOST_DRIFT = 2e-3
"""By how much logit and evidence may differ from PyTorch's, absolute and relative."""

logger = logging.getLogger(__name__)


class GraphDriftError(Exception):
    """A graph does not say what its network says."""

    def __init__(self) -> None:
        super().__init__("the graph does not say what its network says")


class GraphBackend:
    """A compiled graph on the CPU, in float32.

    A batch of four took a tenth longer a scan than one after the other, so each runs alone.

    Args:
        compiled: Takes grey values ``[1, S, S]``, gives logits ``[1]`` and evidence ``[1, h, w]``.
    """

    batch_limit = 1

    def __init__(self, compiled: "CompiledModel") -> None:
        self._request = compiled.create_infer_request()
        self._outputs = compiled.outputs
        self._lock = threading.Lock()  # a request has one set of buffers

    def run(self, squares: Tensor) -> BatchOutput:
        """Judge grey values, float32 in [0, 1], shape ``[B, S, S]``."""
        parts = [self._run_one(square[None]) for square in squares.numpy()]
        logits, evidence = (np.concatenate(part) for part in zip(*parts, strict=True))
        return BatchOutput(logits, evidence, RAN_ON)

    def _run_one(self, square: Any) -> tuple[Any, Any]:
        with self._lock:
            results = self._request.infer([np.ascontiguousarray(square)], share_inputs=True)
        logit, evidence = results[self._outputs[0]], results[self._outputs[1]]
        # The vector instructions for maximum and minimum drop what is not a number on the way.
        return (logit, evidence) if np.isfinite(square).all() else (logit + np.nan, evidence)


@dataclass(frozen=True, slots=True)
class StoredGraph:
    """A compiled graph with what its network says of a known image.

    Attributes:
        answers: What PyTorch says of ``known_square``: the logit, then the evidence of each cell,
            float32, shape ``[1 + h * w]``.
        graph: As OpenVINO exports it.
    """

    answers: NDArray[np.float32]
    graph: bytes


class GraphCache:
    """Compiled graphs in a folder; one that is damaged counts as one that is not there.

    Args:
        folder: Made where missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> StoredGraph | None:
        """Return what was stored under a key; None if nothing was, or if it is not whole."""
        path = self.path(key)
        try:
            data = path.read_bytes()
            path.touch()
        except OSError:
            return None
        content = memoryview(data)[DIGEST_BYTES:]
        if sha256(content).digest() != data[:DIGEST_BYTES]:
            logger.warning("A stored graph is damaged; it is exported again.")
            return None
        start = LENGTH.size + LENGTH.unpack_from(content)[0]
        answers = np.frombuffer(content[LENGTH.size : start], np.float32)
        return StoredGraph(answers, bytes(content[start:]))

    def store(self, key: str, stored: StoredGraph) -> None:
        """Keep a graph, and remove those that nobody has used for a month.

        Without room on the disk nothing is kept; the next start exports again.
        """
        try:
            make_private_folder(self._folder)
            answers = stored.answers.tobytes()
            content = LENGTH.pack(len(answers)) + answers + stored.graph
            write_atomically(self.path(key), sha256(content).digest() + content)
            self._remove_unused()
        except Exception:  # whatever it is, the graph itself is there to serve
            logger.warning("A graph could not be stored.", exc_info=True)

    def path(self, key: str) -> Path:
        """Return where the graph of a key is kept."""
        return self._folder / f"{key}{SUFFIX}"

    def _remove_unused(self) -> None:
        oldest_s = time.time() - UNUSED_S
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest_s:
                    path.unlink()


def graph_backend(
    make_reader: Callable[[], GreyReader],
    card: Card | GateCard,
    stored: GraphCache,
    threads: int | None,
) -> GraphBackend:
    """Return a backend that runs a network's graph: the stored one, or a new export.

    Either must agree with PyTorch on a known image before it serves. What PyTorch says of that
    image is stored too, so that a start with stored graphs is spared its slow and large first run.

    Args:
        make_reader: Builds the network, in evaluation mode, float32, on the CPU; is not called
            where its graph is stored.
        card: Of its weights.
        stored: Where graphs are kept.
        threads: For one scan; None is one a core.

    Raises:
        ImportError: OpenVINO is not installed.
        GraphDriftError: What was exported does not agree with PyTorch.
        VeriscanError: What ``make_reader`` raises.
        Exception: What OpenVINO raises for a network that it cannot export.
    """
    options = _options(threads)
    key, side = _key(card), card.preprocessing.image_size
    if (found := stored.load(key)) is not None:
        try:
            backend = GraphBackend(_core().import_model(found.graph, DEVICE, options))
            _check_agreement(backend, found.answers, side)
        except Exception:  # made by a library or processor that calls itself the same
            logger.warning("A stored graph does not run; it is exported again.", exc_info=True)
        else:
            return backend
    reader = make_reader()
    answers = _answers(CpuBackend(reader), side)
    graph = _exported(reader, side, options)
    # What was just compiled holds the network a second time; read back, the graph holds it once.
    backend = GraphBackend(_core().import_model(graph, DEVICE, options))
    _check_agreement(backend, answers, side)
    stored.store(key, StoredGraph(answers, graph))
    return backend


def is_stored(card: Card | GateCard, folder: Path) -> bool:
    """Return whether a folder has the graph of a network, whole or not.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return GraphCache(folder).path(_key(card)).is_file()


def known_square(side: int) -> Tensor:
    """Return an image that shows every grey value: float32 in [0, 1], shape ``[side, side]``."""
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    noise = np.random.default_rng(0).random((side, side), dtype=np.float32)
    return torch.from_numpy(0.6 * np.outer(ramp, ramp[::-1]).astype(np.float32) + 0.4 * noise)


def _answers(backend: Backend, side: int) -> NDArray[np.float32]:
    """Return what a backend says of the known image: the logit, then the cells ``[1 + h * w]``."""
    said = backend.run(known_square(side)[None])
    return np.concatenate([said.logits, said.evidence.ravel()])


def _check_agreement(backend: Backend, expected: NDArray[np.float32], side: int) -> None:
    """Check that a graph says of the known image what its network said.

    Raises:
        GraphDriftError: It does not.
    """
    said = _answers(backend, side)
    # Where the network itself gives no number, no more can be asked of its graph.
    if said.shape != expected.shape or not np.allclose(
        said, expected, rtol=MOST_DRIFT, atol=MOST_DRIFT, equal_nan=True
    ):
        raise GraphDriftError


def _options(threads: int | None) -> dict[str, Any]:
    # Without the hint the runtime takes bfloat16 where the processor offers it.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    return options if threads is None else options | {"INFERENCE_NUM_THREADS": threads}


@cache
def _openvino() -> ModuleType:
    # On each import OpenVINO reports to its makers over the network, except without this package.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # means: not there
    return importlib.import_module("openvino")


@cache
def _core() -> "Core":
    core: Core = _openvino().Core()
    return core


def _exported(reader: GreyReader, side: int, options: dict[str, Any]) -> bytes:
    with warnings.catch_warnings(), torch.inference_mode():
        # Tracing warns of what the network fixes for one size of input, which is what is wanted.
        warnings.simplefilter("ignore")
        model = _openvino().convert_model(reader, example_input=known_square(side)[None])
    model.reshape([1, side, side])
    graph: bytes = _core().compile_model(model, DEVICE, options).export_model().getvalue()
    return graph


@cache
def _code() -> str:
    """Return a hash of the code that decides what a graph says, libraries by their versions."""
    libraries = [f"{name} {version(name)}" for name in ("efficientnet-pytorch", "torchvision")]
    folder = Path(architectures.__path__[0])
    files = [*sorted(folder.glob("*.py")), Path(preprocessing.__file__)]
    code = b"".join(file.read_bytes() for file in files) + inspect.getsource(GreyReader).encode()
    return sha256(repr(libraries).encode() + code).hexdigest()


def _key(card: Card | GateCard) -> str:
    """Return under which name the graph of a network is kept: all that it depends on."""
    core = _core()
    described = [
        FORMAT,
        _code(),
        card.sha256,
        card.architecture.name,
        dict(card.architecture.arguments),
        [card.preprocessing.image_size, card.preprocessing.mean, card.preprocessing.std],
        _openvino().get_version(),
        str(torch.__version__),
        core.get_property(DEVICE, "FULL_DEVICE_NAME"),
        sorted(core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")),
    ]
    return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
