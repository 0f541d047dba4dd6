"""The third stage: train a detector, phase by phase; a stopped run goes on where it was."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import safetensors.torch
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from app.detection.architectures import Detector, build
from app.detection.labels import Label
from training.classifiers.freezing import FrozenTrunk
from training.classifiers.initialisation import initialise
from training.classifiers.module import DetectorModule
from training.config import PhaseConfig, SystemConfig
from training.data.dataset import (
    Example,
    PairDataset,
    Sampling,
    ScanPool,
    WholeScanDataset,
)
from training.data.manifest import Scan, on_side
from training.errors import CellLossError, TooFewScansError
from training.runs import SystemPaths, claim
from training.seeding import generator_for

VALIDATION_BATCH_SIZE = 8
STEADY_FAKES = 20
FINISHED_FILE = "finished.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a run may use.

    Attributes:
        devices: Number of accelerators, or of processes on the CPU.
        nodes: Number of machines (start with ``torchrun`` on each).
        workers: Processes that load and vary scans; 0 does it in the training process.
    """

    devices: int = 1
    nodes: int = 1
    workers: int = 0


def train(
    config: SystemConfig, scans: Sequence[Scan], paths: SystemPaths, hardware: Hardware
) -> Path:
    """Train a system and return its best checkpoint (by validation AUC over the generators).

    Raises:
        TooFewScansError: A class is missing.
        CellLossError: The cells of this network cannot be trained by themselves.
        InitialisationError: The weights to begin with cannot be had.
        StaleRunError: A run with other settings left its files here.
    """
    claim(paths.root, config.learned_from)
    lightning.seed_everything(config.seed, verbose=False)
    network = build(config.architecture)
    if config.cell_loss and not network.cells_judge_alone:
        raise CellLossError(config.architecture.name)
    start = initialise(network, config.initialisation)
    paths.root.mkdir(parents=True, exist_ok=True)
    paths.initialisation.write_text(start + "\n", encoding="utf-8")
    validation = validation_subset(scans, config)
    for number, phase in enumerate(config.phases):
        folder = paths.phase_dir(number)
        if not (folder / FINISHED_FILE).exists():
            data = DetectorData(config, phase, scans, validation, workers=hardware.workers)
            _run_phase(config, network, data, folder, hardware)
        network.load_state_dict(_network_tensors(folder))
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in network.state_dict().items()}, paths.best_checkpoint
    )
    return paths.best_checkpoint


def validation_subset(scans: Sequence[Scan], config: SystemConfig) -> list[Scan]:
    """Return the validation scans that each epoch is judged on: all classes and generators.

    A generator with fewer than 20 fakes there is left out if others have more: its AUC would
    jump with every epoch and choose the checkpoint by chance.

    Raises:
        TooFewScansError: A class is missing.
    """
    side = on_side(scans, "validation")
    groups: dict[str, list[Scan]] = {}
    for scan in side:
        groups.setdefault(scan.generator if scan.label is Label.FAKE else "", []).append(scan)
    if "" not in groups or len(groups) < 2:
        raise TooFewScansError("The validation side needs authentic scans and fakes.")
    steady = {k: v for k, v in groups.items() if k == "" or len(v) >= STEADY_FAKES}
    groups = steady if len(steady) > 1 else groups
    share = max(1, config.validation_scans // (len(groups) + 1))
    chosen = []
    for name, group in sorted(groups.items()):
        rng = generator_for("validation", config.seed, name)
        # Authentic scans stand against every generator, so they get a double share.
        count = min(len(group), share * 2 if name == "" else share)
        chosen += [group[i] for i in rng.permutation(len(group))[:count]]
    return chosen


class DetectorData(lightning.LightningDataModule):
    """The loaders of one phase.

    Args:
        config: Of the system.
        phase: Gives crop size, batch size and steps an epoch.
        scans: The whole data set.
        validation: What each epoch is judged on.
        workers: Processes that load and vary scans.
    """

    def __init__(
        self,
        config: SystemConfig,
        phase: PhaseConfig,
        scans: Sequence[Scan],
        validation: list[Scan],
        *,
        workers: int,
    ) -> None:
        super().__init__()
        self.phase = phase
        self.validation = validation
        self._config = config
        self._workers = workers
        self._pool = ScanPool(on_side(scans, "train"), config.image_size)

    def train_dataloader(self) -> DataLoader[Example]:
        """Return the pairs of the epoch that begins; each epoch and each process draws others."""
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("the loaders belong to a trainer")
        pairs = PairDataset(
            self._pool,
            self._config.preprocessing,
            self.phase,
            Sampling(
                seed=(self._config.seed, trainer.current_epoch, trainer.global_rank),
                local_share=self._config.local_share,
                augmentation=self._config.augmentation,
            ),
        )
        return DataLoader(pairs, self.phase.batch_size, num_workers=self._workers)

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, int]]:
        """Return whole scans."""
        scans = WholeScanDataset(self.validation, self._config.preprocessing)
        return DataLoader(scans, VALIDATION_BATCH_SIZE)


def _run_phase(
    config: SystemConfig,
    network: Detector,
    data: DetectorData,
    folder: Path,
    hardware: Hardware,
) -> None:
    module = DetectorModule(
        network.to(memory_format=torch.channels_last),
        data.phase,
        data.validation,
        cell_loss=config.cell_loss,
        weight_decay=config.weight_decay,
    )
    best = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="validation_auc",
        mode="max",
        enable_version_counter=False,
    )
    # Lightning's own ``save_last`` writes only where the epoch was the best so far.
    last = ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)
    trainer = lightning.Trainer(
        max_epochs=data.phase.epochs,
        reload_dataloaders_every_n_epochs=1,
        precision=config.precision,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        accelerator="auto",
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        callbacks=[
            best,
            last,
            EarlyStopping("validation_auc", mode="max", patience=data.phase.patience),
            LearningRateMonitor("step"),
            TQDMProgressBar(refresh_rate=10),
            *([FrozenTrunk()] if config.frozen_trunk else []),
            _History(folder / "history.jsonl"),
        ],
        log_every_n_steps=10,
    )
    stopped_at = folder / "last.ckpt"
    trainer.fit(
        module,
        datamodule=data,
        ckpt_path=str(stopped_at) if stopped_at.exists() else None,
    )
    finished = {"best": Path(best.best_model_path).name, "validation_auc": _number(best)}
    (folder / FINISHED_FILE).write_text(json.dumps(finished) + "\n", encoding="utf-8")


def _number(best: ModelCheckpoint) -> float | None:
    return None if best.best_model_score is None else float(best.best_model_score)


def _network_tensors(folder: Path) -> dict[str, torch.Tensor]:
    name = json.loads((folder / FINISHED_FILE).read_text(encoding="utf-8"))["best"]
    saved = torch.load(folder / name, map_location="cpu", weights_only=True)
    prefix = "network."
    return {
        k.removeprefix(prefix): v for k, v in saved["state_dict"].items() if k.startswith(prefix)
    }


class _History(Callback):
    """Writes one line an epoch, for the curves."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        figures: dict[str, Any] = {k: float(v) for k, v in trainer.callback_metrics.items()}
        line = json.dumps({"epoch": trainer.current_epoch, "step": trainer.global_step} | figures)
        logging.getLogger(__name__).info("%s", line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
