"""From images to a gate that the server uses."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torchvision import models

from app.detection.decoding import decode
from app.detection.gate import check_gate, gate_finding, thumbnail
from app.detection.gate_card import GateCard
from app.detection.labels import Verdict
from app.detection.preprocessing import normalise
from app.detection.spec import modality
from app.engine.backends import Machine
from app.engine.serving import load_serving
from tests.factories import make_gate_card, operating_point_for, png_bytes, publish_tiny_weights
from tests.training.lab import make_lung, write_dataset, write_manifest
from training.cli import main
from training.data.manifest import write_index
from training.errors import ConfigError, PublicationRefusedError
from training.gate.collection import Amounts
from training.gate.images import GateImage, foreign_images, right_images
from training.gate.publish import GateRecipe, publish_gate
from training.runs import dataset_paths

RECIPE = GateRecipe(
    modality="lung_ct",
    image_size=48,
    amounts=Amounts(plain=60, varied=20, copies=1, drawn=8, lookalike=4),
    least_pass=0.5,
    least_stopped=0.5,
)


def write_foreign(folder: Path, count: int = 40) -> Path:
    """Write checkered pictures as photographs."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number in range(count):
        grey = np.kron(rng.random((12, 12)), np.ones((8, 8))).astype(np.float32)
        (folder / f"{number}.png").write_bytes(png_bytes(grey))
        rows.append({"path": f"{number}.png", "modality": "photograph", "source": "drawn"})
    return write_manifest(folder / "foreign.csv", rows)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[GateImage]:
    folder = tmp_path_factory.mktemp("gate")
    paths = dataset_paths(folder, "lung_ct")
    paths.root.mkdir(parents=True)
    scans = write_dataset(paths.root, train=16, validation=8, test=8)
    write_index(paths.scans_index, [s for s in scans if not s.generator])
    write_index(paths.fakes_index("square"), [s for s in scans if s.generator == "square"])
    return right_images([paths]) + foreign_images(write_foreign(folder), "lung_ct")


@pytest.fixture(scope="module", autouse=True)
def torch_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A hub with a random MobileNetV2 in place of the one that ImageNet has taught."""
    home = tmp_path_factory.mktemp("torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.mobilenet_v2(norm_layer=partial(nn.BatchNorm2d, momentum=1.0))
        # Its statistics must be those of images, or nothing of them would reach the last layer.
        lungs = np.stack([make_lung(seed, 48) for seed in range(8)])
        scans = normalise(torch.from_numpy(lungs), make_gate_card().preprocessing)
        network.train()(torch.cat([scans, torch.randn(8, 3, 48, 48)]))
    file = home / "hub" / "checkpoints" / "mobilenet_v2-b0353104.pth"
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield


@pytest.fixture(scope="module")
def published(
    images: list[GateImage], torch_home: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, GateCard]:
    weights_dir = tmp_path_factory.mktemp("weights")
    return weights_dir, publish_gate(RECIPE, images, weights_dir)


def test_the_server_loads_what_was_published(published: tuple[Path, GateCard]) -> None:
    weights_dir, card = published

    gate = check_gate(weights_dir, "lung_ct")

    assert gate is not None
    assert gate.card == card
    assert gate.build_network().state_dict()
    assert sorted(p.name for p in (weights_dir / "lung_ct").iterdir()) == [
        "gate.json",
        "gate.safetensors",
    ]


def test_the_server_measures_the_likeness_that_was_fitted(
    published: tuple[Path, GateCard], images: list[GateImage]
) -> None:
    gate = check_gate(published[0], "lung_ct")
    assert gate is not None
    network = gate.build_network()
    held_out = [image for image in images if image.side == "test"]

    for is_right in (True, False):
        passed = []
        for image in (i for i in held_out if i.is_right is is_right):
            grey = decode(image.path.read_bytes(), modality("lung_ct")).grey
            spec = gate.card.preprocessing
            with torch.inference_mode():
                small = thumbnail(grey, spec.image_size)
                output = network(normalise(small, spec)[None])
            finding = gate_finding(float(output.logits[0]), gate.card, is_overridden=False)
            passed.append(finding.looks_right)
        assert np.mean(passed) == pytest.approx(float(is_right), abs=0.35)


def test_the_whole_way_a_scan_passes_and_a_picture_does_not(
    published: tuple[Path, GateCard],
) -> None:
    weights_dir, _ = published
    publish_tiny_weights(weights_dir, "lung_ct", operating_point=operating_point_for(Verdict.REAL))
    serving = load_serving(weights_dir, "lung_ct", Machine(device="cpu"))
    checkers = np.kron(np.random.default_rng(9).random((12, 12)), np.ones((8, 8)))

    scan, picture = serving.judge(
        [serving.prepare(make_lung(99)), serving.prepare(checkers.astype(np.float32))]
    )

    assert scan is not None
    assert scan.finding.verdict is Verdict.REAL
    assert picture is not None
    assert picture.finding.verdict is Verdict.NOT_JUDGED


def test_the_card_tells_data_and_figures(published: tuple[Path, GateCard]) -> None:
    _, card = published

    assert {source.name for source in card.data} == {
        "drawn",
        "square",
        "photograph (to be stopped)",
    }
    assert "photograph, never fitted" in card.rightly_stopped
    assert "fakes of square, never fitted" in card.wrongly_stopped
    assert card.training["initialisation"]
    assert card.limits


def test_the_same_images_give_the_same_gate(
    published: tuple[Path, GateCard], images: list[GateImage], tmp_path: Path
) -> None:
    assert publish_gate(RECIPE, images, tmp_path) == published[1]


def test_a_gate_that_misses_its_minimums_is_not_published(
    images: list[GateImage], tmp_path: Path
) -> None:
    # What a scan is and what it is not are mixed up, so nothing can be told apart.
    confused = [replace(i, is_right=n % 2 == 0) for n, i in enumerate(images)]

    with pytest.raises(PublicationRefusedError, match="share of held-out"):
        publish_gate(replace(RECIPE, least_pass=1.0, least_stopped=1.0), confused, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_anything_to_stop_there_is_no_gate(images: list[GateImage], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scans of the modality and other images"):
        publish_gate(RECIPE, [i for i in images if i.is_right], tmp_path)


def test_the_command_names_the_stage_that_is_missing(tmp_path: Path) -> None:
    manifest = write_foreign(tmp_path, 1)

    result = CliRunner().invoke(
        main,
        ["gate", "--modality", "lung_ct", "--foreign", str(manifest), "--runs", str(tmp_path)],
    )

    assert result.exit_code == 1
    assert "python -m training prepare --dataset lung_ct" in result.output
