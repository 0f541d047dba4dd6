from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from app.detection.card import ArchitectureSpec
from app.detection.weights import load_detector
from tests.factories import publish_tiny_weights
from tests.training.lab import a_phase, system_config, write_dataset
from training.classifiers.taking_up import TakeUpError, take_up
from training.classifiers.train import Hardware, train
from training.data.manifest import Scan
from training.runs import SystemPaths

CONFIG = system_config(phases=[a_phase(), a_phase(), a_phase(epochs=1, steps_per_epoch=2)])


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return write_dataset(tmp_path_factory.mktemp("scans"))


@pytest.fixture
def card_path(tmp_path: Path) -> Path:
    publish_tiny_weights(
        tmp_path,
        "lung_ct",
        architecture=CONFIG.architecture,
        training={"dataset": CONFIG.dataset, "initialisation": "photographs"},
    )
    return next((tmp_path / "lung_ct").glob("*.json"))


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    return SystemPaths(tmp_path / "run")


def test_training_goes_on_from_published_weights(
    scans: list[Scan], card_path: Path, paths: SystemPaths
) -> None:
    published = dict(load_detector(card_path).network.named_parameters())
    take_up(card_path, CONFIG, paths, phases=2)

    best = safetensors.torch.load_file(train(CONFIG, scans, paths, Hardware()))

    assert paths.initialisation.read_text(encoding="utf-8") == "photographs\n"
    assert not (paths.phase_dir(1) / "history.jsonl").exists(), "nothing of them was trained again"
    moved = [
        float((best[name] - weight.detach()).abs().max()) for name, weight in published.items()
    ]
    assert 0 < max(moved) < 0.1, "two steps from where the published weights are"


def test_every_member_of_a_phase_has_learned(
    scans: list[Scan], card_path: Path, paths: SystemPaths
) -> None:
    last = a_phase(epochs=1, steps_per_epoch=1, learning_rate=1e-12)
    config = replace(CONFIG, phases=[a_phase(), a_phase(members=2), last])
    published = dict(load_detector(card_path).network.named_parameters())
    take_up(card_path, config, paths, phases=2)

    best = safetensors.torch.load_file(train(config, scans, paths, Hardware()))

    for name, weight in published.items():
        assert torch.allclose(best[name], weight.detach(), atol=1e-6), name


def test_the_same_command_goes_on_with_what_it_began(
    card_path: Path, paths: SystemPaths, tmp_path: Path
) -> None:
    take_up(card_path, CONFIG, paths, phases=2)
    before = {path: path.read_bytes() for path in paths.root.rglob("*") if path.is_file()}

    take_up(card_path, CONFIG, paths, phases=2)

    assert {p: p.read_bytes() for p in paths.root.rglob("*") if p.is_file()} == before


def test_what_was_killed_half_way_is_laid_down_again(
    scans: list[Scan], card_path: Path, paths: SystemPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda _saved, path: path.write_bytes(b"half"))
        patch.setattr("training.classifiers.taking_up.write_whole", _pull_the_plug)
        with pytest.raises(KeyboardInterrupt):
            take_up(card_path, CONFIG, paths, phases=2)

    take_up(card_path, CONFIG, paths, phases=2)

    assert train(CONFIG, scans, paths, Hardware()).exists()


def _pull_the_plug(_path: Path, _data: bytes) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("phases", [0, 3, 7])
def test_a_phase_has_to_be_left(card_path: Path, paths: SystemPaths, phases: int) -> None:
    with pytest.raises(TakeUpError, match="name 1 to 2"):
        take_up(card_path, CONFIG, paths, phases=phases)

    assert not paths.root.exists()


def test_a_run_that_began_otherwise_is_left_alone(
    scans: list[Scan], card_path: Path, paths: SystemPaths
) -> None:
    train(CONFIG, scans, paths, Hardware())

    with pytest.raises(TakeUpError, match="Delete it"):
        take_up(card_path, CONFIG, paths, phases=1)


def test_weights_of_another_data_set_are_refused(card_path: Path, paths: SystemPaths) -> None:
    elsewhere = system_config(dataset="elsewhere", phases=CONFIG.phases)

    with pytest.raises(TakeUpError, match="other sides"):
        take_up(card_path, elsewhere, paths, phases=1)


def test_weights_of_another_network_are_refused(card_path: Path, paths: SystemPaths) -> None:
    wider = ArchitectureSpec(name="plain_cnn", arguments={"widths": [8, 24], "sharpness": 0.0})
    other = system_config(architecture=wider, phases=CONFIG.phases)

    with pytest.raises(TakeUpError, match="another network"):
        take_up(card_path, other, paths, phases=1)

    assert not paths.root.exists()
