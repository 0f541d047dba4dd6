"""Another process exports, and this one reads back what it stored."""

import logging
import sys
from pathlib import Path

import pytest

from app.engine import exporting
from app.engine import graphs as graphs_module
from app.engine.backends import CpuBackend, Machine
from app.engine.graphs import SUFFIX, GraphBackend
from app.engine.serving import load_serving
from tests.factories import make_grey, publish_tiny_gate, publish_tiny_weights


@pytest.fixture
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A detector and its gate, which count as large."""
    monkeypatch.setattr(exporting, "LEAST_BYTES", 0)
    publish_tiny_weights(tmp_path / "weights", "lung_ct")
    publish_tiny_gate(tmp_path / "weights", "lung_ct", lets_pass=True)
    return tmp_path / "weights"


@pytest.fixture
def exported_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sides of the networks that this process exported."""
    sides: list[int] = []
    export = graphs_module._exported

    def noted(reader: object, side: int, options: dict[str, object]) -> object:
        sides.append(side)
        return export(reader, side, options)  # type: ignore[arg-type]

    monkeypatch.setattr(graphs_module, "_exported", noted)
    return sides


def on(folder: Path) -> Machine:
    return Machine(device="cpu", threads=1, graphs_dir=folder / "graphs")


def graphs(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_ino for p in (folder / "graphs").glob(f"*{SUFFIX}")}


def test_another_process_exports_the_network_and_its_gate_once(
    tmp_path: Path, weights_dir: Path, exported_here: list[int]
) -> None:
    serving = load_serving(weights_dir, "lung_ct", on(tmp_path))

    stored = graphs(tmp_path)
    assert len(stored) == 2
    assert not exported_here
    assert isinstance(serving.backend, GraphBackend)
    assert serving.judge([serving.prepare(make_grey(80, 80), override_gate=True)]) != [None]
    load_serving(weights_dir, "lung_ct", on(tmp_path))
    assert graphs(tmp_path) == stored, "they were exported again"


def test_where_it_fails_the_server_exports_for_itself(
    tmp_path: Path,
    weights_dir: Path,
    exported_here: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with caplog.at_level(logging.WARNING):
        serving = load_serving(weights_dir, "lung_ct", on(tmp_path))

    assert "exported where they serve" in caplog.text
    assert len(exported_here) == 2
    assert isinstance(serving.backend, GraphBackend)


def test_small_networks_are_exported_where_they_serve(
    tmp_path: Path,
    weights_dir: Path,
    exported_here: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "LEAST_BYTES", 2**30)

    load_serving(weights_dir, "lung_ct", on(tmp_path))

    assert len(exported_here) == 2


def test_without_graphs_no_process_is_started(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/is/not/there")

    serving = load_serving(weights_dir, "lung_ct", Machine(device="cpu"))

    assert isinstance(serving.backend, CpuBackend)
