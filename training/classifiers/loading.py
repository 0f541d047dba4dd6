"""The loaders of a phase, and the scans that each epoch is judged on."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from app.detection.labels import Label
from training.config import SystemConfig
from training.data.dataset import Example, PairDataset, Sampling, ScanPool, WholeScanDataset
from training.data.epochs import EpochDataset, Round
from training.data.manifest import Scan, on_side
from training.data.splits import COMPANION
from training.errors import TooFewScansError
from training.recipe import Precision
from training.seeding import generator_for

VALIDATION_BATCH_SIZE = 2  # whole slices, seen at every pixel, take gigabytes each
STEADY_FAKES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a run may use.

    Attributes:
        devices: Number of accelerators, or of processes on the CPU.
        nodes: Number of machines (start with ``torchrun`` on each).
        workers: Processes that load and vary scans; 0 does it in the training process.
        accelerator: Lightning's name for the kind of device; ``auto`` takes a GPU if there is one.
    """

    devices: int = 1
    nodes: int = 1
    workers: int = 0
    accelerator: str = "auto"

    @property
    def processes(self) -> int:
        """Number of training processes on all machines together."""
        return self.devices * self.nodes

    def precision(self, wanted: Precision) -> Precision:
        """Return the precision to train in: a CPU that has to emulate bfloat16 does without it."""
        on_cpu = self.accelerator == "cpu" or (
            self.accelerator == "auto" and not torch.accelerator.is_available()
        )
        if wanted == "bf16-mixed" and on_cpu and not _has_bfloat16():
            logging.getLogger(__name__).info(
                "This CPU has no instructions for bfloat16: training in 32-true."
            )
            return "32-true"
        return wanted


class DetectorData(lightning.LightningDataModule):
    """The loaders of one phase.

    Args:
        config: Of the system.
        phase: Number of the phase, from 0.
        scans: As the system sees them.
        validation: What each epoch is judged on.
        hardware: Gives the number of processes of either kind.

    Raises:
        TooFewScansError: The training side lacks a class, or has not one scan for each process.
    """

    def __init__(
        self,
        config: SystemConfig,
        phase: int,
        scans: Sequence[Scan],
        validation: list[Scan],
        hardware: Hardware,
    ) -> None:
        super().__init__()
        self.validation = validation
        self._config = config
        self._phase_number = phase
        self._phase = config.phases[phase]
        self.hardware = hardware
        self.pool = ScanPool(on_side(scans, "train"), config.image_size)
        self.companions = companions_of(config, phase, scans)
        if len(self.pool.scans) < hardware.processes:
            raise TooFewScansError("The training side has fewer scans than there are processes.")

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch."""
        share = len(self.pool.scans) // self.hardware.processes
        whole = math.ceil(share / self._phase.batch_size)
        asked = self._phase.steps_per_epoch or whole
        return asked if self._config.sampling == "pairs" else min(asked, whole)

    def train_dataloader(self) -> DataLoader[Example]:
        """Return the scans of the epoch that begins; each epoch and each process has others."""
        if self.trainer is None:
            raise RuntimeError("the loaders belong to a trainer")
        seed = (self._config.seed, self._phase_number, self.trainer.current_epoch)
        rank = self.trainer.global_rank
        paired = self._config.sampling == "pairs"
        examples = self._pairs((*seed, rank)) if paired else self._whole_scans(seed, rank)
        return DataLoader(examples, self._phase.batch_size, num_workers=self.hardware.workers)

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, int]]:
        """Return whole scans."""
        scans = WholeScanDataset(self.validation, self._config.preprocessing)
        return DataLoader(scans, VALIDATION_BATCH_SIZE, num_workers=self.hardware.workers)

    def _pairs(self, seed: tuple[int, ...]) -> Dataset[Example]:
        sampling = Sampling(
            seed=seed,
            local_share=self._config.local_share,
            source_balance=self._config.source_balance,
            augmentation=self._config.augmentation,
        )
        preprocessing = self._config.preprocessing
        return PairDataset(self.pool, preprocessing, self._phase, sampling, self.companions)

    def _whole_scans(self, seed: tuple[int, ...], rank: int) -> Dataset[Example]:
        turn = Round(
            seed=seed,
            rank=rank,
            processes=self.hardware.processes,
            limit=self.steps_per_epoch * self._phase.batch_size,
        )
        preprocessing, augmentation = self._config.preprocessing, self._config.augmentation
        return EpochDataset(self.pool, preprocessing, turn, augmentation)


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def companions_of(config: SystemConfig, phase: int, scans: Sequence[Scan]) -> ScanPool | None:
    """Return what a phase learns from beside the training side; None where it does not.

    Raises:
        TooFewScansError: The companions lack a class.
    """
    if not config.phases[phase].companion_share:
        return None
    name = f"training side of {', '.join(config.companions)}"
    return ScanPool(on_side(scans, COMPANION), config.image_size, name, enlarges=False)


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
    share = max(1, (config.validation_scans or 2 * len(side) * len(groups)) // (len(groups) + 1))
    chosen = []
    for name, group in sorted(groups.items()):
        rng = generator_for("validation", config.seed, name)
        # Authentic scans stand against every generator, so they get a double share.
        count = min(len(group), share * 2 if name == "" else share)
        chosen += [group[i] for i in rng.permutation(len(group))[:count]]
    return chosen
