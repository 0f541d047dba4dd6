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


def test_a_run_that_took_up_something_else_is_left_alone(
    card_path: Path, tmp_path: Path, paths: SystemPaths
) -> None:
    other = card_of(tmp_path / "other", CONFIG.architecture, seed=1)
    take_up(card_path, CONFIG, paths, phases=2)

    for card, phases, second_look in (
        (other, 2, None),
        (card_path, 1, None),
        (card_path, 2, other),
    ):
        with pytest.raises(TakeUpError, match="other published weights"):
            take_up(card, CONFIG, paths, phases=phases, second_look=second_look)


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


def b4(stem_stride: int | list[int]) -> ArchitectureSpec:
    arguments = {"image_size": 64, "stem_stride": stem_stride}
    return ArchitectureSpec(name="efficientnet_b4", arguments=arguments)


def card_of(
    folder: Path, architecture: ArchitectureSpec, dataset: str = CONFIG.dataset, *, seed: int = 0
) -> Path:
    """Publish random weights in a folder; return their card."""
    publish_tiny_weights(
        folder, "lung_ct", architecture=architecture, seed=seed, training={"dataset": dataset}
    )
    return next((folder / "lung_ct").glob("*.json"))


def test_a_network_with_a_second_look_goes_on_from_one_that_looks_once(
    scans: list[Scan], tmp_path: Path, paths: SystemPaths
) -> None:
    config = replace(CONFIG, architecture=b4([1, 2]))
    config = replace(config, phases=[*config.phases[:-1], a_phase(epochs=1, steps_per_epoch=1)])
    card = card_of(tmp_path, b4(1))

    take_up(card, config, paths, phases=2)

    best = safetensors.torch.load_file(train(config, scans, paths, Hardware()))
    assert best.keys() >= load_detector(card).network.state_dict().keys()


def test_a_second_look_is_added_without_any_training(
    scans: list[Scan], tmp_path: Path, paths: SystemPaths
) -> None:
    config = replace(CONFIG, architecture=b4([1, 2]))
    first, second = card_of(tmp_path / "first", b4(1)), card_of(tmp_path / "second", b4(2))

    take_up(first, config, paths, phases=3, second_look=second)

    best = safetensors.torch.load_file(train(config, scans, paths, Hardware()))
    for card, prefix in ((first, ""), (second, "coarse.")):
        weights = load_detector(card).network.state_dict()
        stem = "trunk._conv_stem.weight"
        assert torch.equal(best[prefix + stem], weights[stem])
    said = paths.initialisation.read_text(encoding="utf-8")
    assert f"second look of the weights {load_detector(second).card.sha256[:12]}" in said
    assert not list(paths.root.rglob("history.jsonl")), "nothing was trained"


def test_a_second_look_that_cannot_be_one_is_refused(tmp_path: Path, paths: SystemPaths) -> None:
    card, other = card_of(tmp_path / "first", b4(1)), card_of(tmp_path, CONFIG.architecture)
    elsewhere = card_of(tmp_path / "elsewhere", b4(2), dataset="elsewhere")

    for architecture, second in ((b4([1, 2]), other), (b4(1), card)):
        config = replace(CONFIG, architecture=architecture)
        with pytest.raises(TakeUpError, match="cannot be a second look"):
            take_up(card, config, paths, phases=3, second_look=second)
    with pytest.raises(TakeUpError, match="other sides"):
        take_up(
            card, replace(CONFIG, architecture=b4([1, 2])), paths, phases=3, second_look=elsewhere
        )
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
