"""Runs in processes of their own: one is killed, one shares its work with another."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.training.lab import write_dataset
from training.classifiers.callbacks import HISTORY_FILE
from training.classifiers.train import Hardware, train
from training.config import load_dataset_config, load_system_config
from training.data.manifest import write_index
from training.fakes.produce import read_dataset
from training.runs import SystemPaths, dataset_paths, system_paths

ROOT = Path(__file__).parents[3]
DATASET = """
name = "drawn"
modality = "lung_ct"
seed = 1
[sides]
train = 0.5
validation = 0.5
test = 0.0
"""
# Dropout and a plateau: both remember something that a resumed run has to know.
SYSTEM = """
name = "lung_ct_killed"
dataset = "{dataset}"
seed = 5
image_size = 64
normalisation = "none"
sampling = "epoch"
monitor = "validation_loss"
precision = "32-true"
cell_loss = 0.0
intended_use = "For tests only."
l2 = {{ strength = 1e-4 }}
[architecture]
name = "document_cnn"
arguments = {{ image_size = 64, widths = [4, 4, 4], hidden = 8, dropout = 0.5 }}
[augmentation]
rotation_degrees = 5.0
[[phases]]
epochs = 7
crop_size = 64
batch_size = 4
learning_rate = 1e-3
optimiser = "rmsprop"
schedule = "plateau"
patience = 7
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system's TOML beside the folder of its runs, with a prepared data set."""
    folder = tmp_path_factory.mktemp("killing")
    scans = write_dataset(folder / "images", train=8, validation=4)
    write_index(dataset_paths(folder / "runs", "drawn").scans_index, scans)
    (folder / "drawn.toml").write_text(DATASET, encoding="utf-8")
    path = folder / "system.toml"
    path.write_text(SYSTEM.format(dataset=folder / "drawn.toml"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def unbroken(system: Path, tmp_path_factory: pytest.TempPathFactory) -> SystemPaths:
    """A run that nothing happened to."""
    paths = SystemPaths(tmp_path_factory.mktemp("unbroken"))
    trained(system, paths)
    return paths


def history_of(paths: SystemPaths) -> str:
    return (paths.phase_dir(0) / HISTORY_FILE).read_text(encoding="utf-8")


def trained(system: Path, paths: SystemPaths) -> Path:
    config = load_system_config(str(system))
    dataset = load_dataset_config(config.dataset)
    scans = read_dataset(dataset, dataset_paths(system.parent / "runs", dataset.name))
    return train(config, scans, paths, Hardware(accelerator="cpu"))


def command(system: Path, *options: str) -> list[str]:
    runs = str(system.parent / "runs")
    return ["-m", "training", "train", "--system", str(system), "--runs", runs, *options]


def started(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_two_runs_with_one_seed_end_with_the_same_bytes(
    system: Path, unbroken: SystemPaths, tmp_path: Path
) -> None:
    again = SystemPaths(tmp_path)

    assert trained(system, again).read_bytes() == unbroken.best_checkpoint.read_bytes()

    assert history_of(again) == history_of(unbroken)


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_run_that_was_killed_ends_with_the_bytes_of_an_unbroken_one(
    system: Path, unbroken: SystemPaths, tmp_path: Path, epoch: int
) -> None:
    paths = system_paths(system.parent / "runs", "lung_ct_killed")
    shutil.rmtree(paths.root, ignore_errors=True)
    history = paths.phase_dir(0) / HISTORY_FILE
    process = started(command(system, "--accelerator", "cpu"), tmp_path / "log")
    while process.poll() is None and not (
        history.exists() and f'"epoch": {epoch}'.encode() in history.read_bytes()
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not paths.best_checkpoint.exists()

    assert trained(system, paths).read_bytes() == unbroken.best_checkpoint.read_bytes()

    assert history_of(paths) == history_of(unbroken)


def test_the_run_that_is_killed_has_something_to_remember(unbroken: SystemPaths) -> None:
    """Otherwise the tests above would show nothing of the plateau."""
    lines = [json.loads(line) for line in history_of(unbroken).splitlines()]

    assert lines[-1]["learning_rate"] < lines[0]["learning_rate"]


def test_two_processes_train_one_network(system: Path, tmp_path: Path) -> None:
    options = ["--accelerator", "cpu", "--devices", "2", "--max-epochs", "1"]
    process = started(command(system, *options), tmp_path / "log")

    assert process.wait(200) == 0, (tmp_path / "log").read_text()
    assert_one_network(system, epochs=1, log=(tmp_path / "log").read_text())


def test_two_machines_train_one_network_through_torchrun(system: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = ["--master-addr=127.0.0.1", f"--master-port={free.getsockname()[1]}"]
    torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *meeting]
    options = ["--accelerator", "cpu", "--nodes", "2", "--max-epochs", "2"]
    logs = [tmp_path / "first", tmp_path / "second"]
    machines = [
        started([*torchrun, f"--node-rank={rank}", *command(system, *options)], log)
        for rank, log in enumerate(logs)
    ]

    ended = [machine.wait(200) for machine in machines]

    told = "".join(log.read_text() for log in logs)
    assert ended == [0, 0], told
    assert_one_network(system, epochs=2, log=told)


def assert_one_network(system: Path, *, epochs: int, log: str) -> None:
    paths = system_paths(system.parent / "runs", f"lung_ct_killed-{epochs}epochs")
    tensors = safetensors.torch.load_file(paths.best_checkpoint)
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())
    assert len(history_of(paths).splitlines()) == epochs
    assert log.count("Best checkpoint") == 1
