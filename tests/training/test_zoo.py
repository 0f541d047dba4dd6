"""Every shipped system: that it can be built and learns, and what the documents say of it."""

from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch

from app.detection.architectures import build
from tests.training.lab import write_dataset
from training.classifiers.loading import DetectorData, Hardware, validation_subset
from training.classifiers.module import DetectorModule
from training.config import (
    CONFIGS_DIR,
    Budget,
    SystemConfig,
    load_dataset_config,
    load_system_config,
)
from training.data.manifest import Scan
from training.data.selection import scans_for

SYSTEMS = sorted(path.stem for path in CONFIGS_DIR.glob("*.toml"))
TINY = Budget(max_epochs=1, max_steps_per_epoch=1, image_size=96)

TRANSFER = [
    "lung_ct_vgg16",
    "lung_ct_inception_v3",
    "lung_ct_resnet50_base",
    "lung_ct_tampered_vgg16",
    "lung_ct_tampered_resnet50",
    "lung_ct_tampered_mobilenet_v2",
    "lung_ct_tampered_inception_v3",
    "histopathology_lung_resnet50",
    "histopathology_lung_mobilenet_v2",
    "histopathology_lung_densenet121",
]
OWN = {  # document 000: optimiser, learning rate, epochs, schedule, arguments that it states
    "lung_ct_resnet34": ("adamw", 5e-4, 40, "cosine", {"dropout": 0.5, "outputs": 2}),
    "lung_ct_resnet50_variant1": (
        "adamw",
        1e-3,
        50,
        "cosine",
        {"dropout_before": 0.6, "dropout": 0.7},
    ),
    "lung_ct_resnet50_variant2": (
        "adamw",
        5e-3,
        50,
        "cosine",
        {"dropout_before": 0.6, "dropout": 0.5},
    ),
    "lung_ct_cnn1": ("adam", 1e-4, 25, "plateau", {"dropout": 0.5, "hidden": 256}),
    "lung_ct_cnn2": ("adam", 1e-4, 25, "plateau", {"dropout": 0.5, "hidden": 256}),
    "lung_ct_cnn3": ("rmsprop", 5e-4, 25, "plateau", {"dropout": 0.3, "hidden": 256}),
    "lung_ct_cnn4": ("rmsprop", 5e-4, 25, "plateau", {"dropout": 0.4, "hidden": 256}),
}
DIAGNOSES = [f"knee_xray_grade_{n}" for n in ("cnn", "resnet18", "resnet50", "mobilenet_v2")]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    drawn = write_dataset(tmp_path_factory.mktemp("scans"), train=4, validation=4)
    return [replace(scan, grade="03"[i % 2]) for i, scan in enumerate(drawn)]


def small(name: str) -> SystemConfig:
    """Return a system on images of 96 pixels, in batches of 4."""
    config = load_system_config(name).within(TINY).without_companions
    return replace(config, precision="32-true", phases=[replace(config.phases[0], batch_size=4)])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_shipped_system_takes_a_step(name: str, scans: list[Scan]) -> None:
    config = small(name)
    torch.manual_seed(0)
    network = build(config.architecture)
    chosen = scans_for(config, scans)
    data = DetectorData(config, 0, chosen, validation_subset(chosen, config), Hardware())
    module = DetectorModule(
        network, config, data.validation, phase=0, steps_per_epoch=data.steps_per_epoch
    )
    before = {k: v.clone() for k, v in network.named_parameters()}
    trainer = lightning.Trainer(
        fast_dev_run=True, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )

    trainer.fit(module, datamodule=data)

    after = dict(network.named_parameters())
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not torch.equal(before[k], tensor) for k, tensor in after.items())
    assert torch.isfinite(trainer.callback_metrics["validation_loss"])


@pytest.mark.parametrize("name", TRANSFER)
def test_a_transfer_system_has_the_head_and_the_hyperparameters_of_document_000(name: str) -> None:
    config = load_system_config(name)
    (phase,) = config.phases

    assert config.frozen_trunk
    assert config.initialisation == "imagenet_or_random"
    assert config.architecture.arguments["hidden"] == 256
    assert config.architecture.arguments["dropout"] == 0.5
    assert config.l2 is not None
    assert config.l2.on == ["dense"]
    assert (phase.optimiser, phase.learning_rate, phase.epochs) == ("adam", 1e-4, 30)


@pytest.mark.parametrize("name", OWN)
def test_a_system_of_document_000_has_its_printed_hyperparameters(name: str) -> None:
    config = load_system_config(name)
    (phase,) = config.phases
    optimiser, learning_rate, epochs, schedule, arguments = OWN[name]

    assert (phase.optimiser, phase.learning_rate, phase.epochs, phase.schedule) == (
        optimiser,
        learning_rate,
        epochs,
        schedule,
    )
    assert arguments.items() <= config.architecture.arguments.items()
    assert config.initialisation == "random"


@pytest.mark.parametrize("name", [n for n in SYSTEMS if load_system_config(n).sampling == "epoch"])
def test_a_system_of_the_documents_shows_whole_scans_and_keeps_the_lowest_validation_loss(
    name: str,
) -> None:
    config = load_system_config(name)
    (phase,) = config.phases

    assert config.image_size == 224
    assert (config.monitor, phase.patience) == ("validation_loss", 5)
    assert config.cell_loss == 0
    assert config.precision == "32-true"
    assert phase.batch_size == (32 if name == "lung_ct_tampered_sequential" else 16)


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("lung_ct_cnn1", (0.8, 0.1, 0.1)),
        ("histopathology_lung_resnet50", (0.7, 0.2, 0.1)),
        ("lung_ct_tampered_vgg16", (0.75, 0.125, 0.125)),
        ("lung_ct_efficientnet_b4", (0.6, 0.2, 0.2)),
        ("knee_xray_efficientnet_b4", (0.6, 0.2, 0.2)),
    ],
)
def test_a_system_is_trained_on_the_division_of_its_document(
    name: str, shares: tuple[float, float, float]
) -> None:
    sides = load_dataset_config(load_system_config(name).dataset).sides

    assert (sides.train, sides.validation, sides.test) == shares


def test_only_the_systems_of_document_004_learn_a_finding() -> None:
    assert {n for n in SYSTEMS if load_system_config(n).diagnosis is not None} == set(DIAGNOSES)


def test_a_system_that_needs_no_more_than_this_file_is_found(tmp_path: Path) -> None:
    text = (CONFIGS_DIR / "lung_ct_cnn1.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace("lung_ct_cnn1", "mine"), encoding="utf-8")

    assert load_system_config(str(tmp_path / "mine.toml")).name == "mine"
