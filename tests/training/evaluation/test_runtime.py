"""What runs a detector while it is measured says what its network says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.detection.weights import LoadedDetector, active_checkpoint, load_detector
from tests.training.evaluation_lab import DETECTOR
from tests.training.lab import a_scan
from training.data.images import write_grey
from training.evaluation import runtime
from training.evaluation.predict import predict
from training.evaluation.runtime import WORTH_AN_EXPORT, Runtime, look


@pytest.fixture(scope="module")
def detector(tiny_weights_dir: Path) -> LoadedDetector:
    return load_detector(active_checkpoint(tiny_weights_dir, "lung_ct"))


def some_greys() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, dtype=np.float32) for shape in ((64, 64), (64, 100), (100, 64))]


def test_the_graph_says_what_the_network_says(detector: LoadedDetector) -> None:
    graph = Runtime(detector, scans=WORTH_AN_EXPORT)

    assert graph.name == "graph"
    for grey in some_greys():
        logit, evidence = graph.look(grey)
        expected_logit, expected_evidence = look(detector, grey)
        assert logit == pytest.approx(expected_logit, abs=2e-3)
        np.testing.assert_allclose(evidence, expected_evidence, atol=2e-3)


def test_few_scans_are_spared_the_export(detector: LoadedDetector) -> None:
    parameters = sum(parameter.numel() for parameter in detector.network.parameters())

    assert Runtime(detector, scans=WORTH_AN_EXPORT // parameters).name == "cpu"
    assert Runtime(detector, scans=WORTH_AN_EXPORT // parameters + 1).name == "graph"


def test_it_is_the_graph_of_these_weights_whatever_their_card_says(
    detector: LoadedDetector,
) -> None:
    Runtime(detector, scans=WORTH_AN_EXPORT)
    other = replace(DETECTOR, card=detector.card)  # another network under the same SHA-256
    grey = some_greys()[0]

    logit, _ = Runtime(other, scans=WORTH_AN_EXPORT).look(grey)

    assert logit == pytest.approx(look(other, grey)[0], abs=2e-3)
    assert logit != pytest.approx(look(detector, grey)[0], abs=2e-3)


def test_many_scans_get_the_same_verdicts_from_the_graph(
    tmp_path: Path, detector: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []
    for number, grey in enumerate(some_greys()):
        write_grey(tmp_path / f"{number}.png", grey)
        scans.append(a_scan(tmp_path / f"{number}.png"))
    by_network = predict(detector, scans, tmp_path / "m.csv")
    monkeypatch.setattr(runtime, "WORTH_AN_EXPORT", 2)
    threads = torch.get_num_threads()

    by_graph = predict(detector, scans, tmp_path / "m.csv")

    assert [row.logit for row in by_graph] == pytest.approx(
        [row.logit for row in by_network], abs=2e-3
    )
    assert [row.verdict for row in by_graph] == [row.verdict for row in by_network]
    assert torch.get_num_threads() == threads
