"""The third stage: train a system, phase by phase; a stopped run goes on where it was."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import safetensors.torch
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from app.detection.architectures import Detector, build
from training.classifiers.callbacks import (
    HISTORY_FILE,
    LAST_FILE,
    BestCheckpoint,
    History,
    LastCheckpoint,
    PatientStopping,
    WholeFiles,
)
from training.classifiers.freezing import FrozenTrunk
from training.classifiers.hard_negatives import hard_spots
from training.classifiers.initialisation import FROM_SCRATCH, initialise
from training.classifiers.loading import (
    DetectorData,
    Hardware,
    companions_of,
    validation_subset,
)
from training.classifiers.losses import l2_penalty
from training.classifiers.members import between, drawn_by, members_of, soup, wait_for
from training.classifiers.module import DetectorModule
from training.config import SystemConfig
from training.data.manifest import Scan
from training.data.selection import scans_for
from training.data.splits import COMPANION, check_no_leak
from training.errors import CellLossError
from training.people import remember_people, require_strangers
from training.runs import SystemPaths, claim, held_alone, write_whole

__all__ = [
    "FINISHED_FILE",
    "NETWORK_PREFIX",
    "Hardware",
    "has_begun",
    "train",
]

FINISHED_FILE = "finished.json"
MODES = {"validation_auc": "max", "validation_loss": "min"}
NETWORK_PREFIX = "network."


def train(
    config: SystemConfig,
    scans: Sequence[Scan],
    paths: SystemPaths,
    hardware: Hardware,
    *,
    member: int | None = None,
) -> Path:
    """Train a system and return its checkpoint: what its last phase ended with.

    A phase ends with its best epoch, by what the config monitors, or with a mean of such.

    A finished run is left as it is; a stopped one goes on after its last whole epoch and ends, on
    the same machine, with the checkpoint of one that was never stopped.

    Args:
        config: Of the system.
        scans: The whole data set, and the system's companions.
        paths: Of the run.
        hardware: What it may use. Several processes draw other batches than one does.
        member: The one that this process trains of each phase's members, from 0; those that it
            does not train it waits for. Every member, one after the other, where None.

    Raises:
        MemberError: No phase has that member.
        TooFewScansError: A class is missing, of the companions too.
        LeakError: Somebody stands on two sides, one of which may be that of the companions.
        CellLossError: The cells of this network cannot be trained by themselves.
        PenaltyError: A penalty names a part that the network does not have.
        InitialisationError: The weights to begin with cannot be had.
        StaleRunError: A run with other settings left its files here.
        LearnedFromError: The run learned from somebody who stands on another side by now.
        BusyRunError: Another process trains the same, of this run.
    """
    trained_here = [members_of(config, n, member) for n in range(len(config.phases))]
    claim(paths.root, config.learned_from)
    require_strangers(paths.root, scans)
    if paths.best_checkpoint.exists():
        return paths.best_checkpoint
    members = {one for trained in trained_here for one in trained}
    with held_alone(map(paths.member_lock, sorted(members))):
        return _trained(config, scans, paths, hardware, trained_here)


def _trained(
    config: SystemConfig,
    scans: Sequence[Scan],
    paths: SystemPaths,
    hardware: Hardware,
    trained_here: Sequence[Sequence[int]],
) -> Path:
    lightning.seed_everything(config.seed, verbose=False)
    network = build(config.architecture)
    if config.cell_loss and not network.cells_judge_alone:
        raise CellLossError(config.architecture.name)
    l2_penalty(network, config.l2)
    chosen = scans_for(config, scans)
    check_no_leak(chosen)
    for number in range(len(config.phases)):  # what is missing is told now, not hours later
        companions_of(config, number, chosen)
    validation = validation_subset(chosen, config)
    remember_people(paths.root, chosen)
    if not trained_here[0]:
        wait_for(paths.phase_dir(0) / FINISHED_FILE)
    config = _started(config, network, paths)
    for number, phase in enumerate(config.phases):
        former = {k: v.to("cpu", copy=True) for k, v in network.state_dict().items()}
        for one in trained_here[number]:
            if not (paths.phase_dir(number, one) / FINISHED_FILE).exists():
                network.load_state_dict(former)
                drawn = drawn_by(config, one)
                data = DetectorData(drawn, number, chosen, validation, hardware)
                _run_phase(drawn, network, data, paths, number, one)
        folders = [paths.phase_dir(number, one) for one in range(phase.members)]
        for folder in folders:
            wait_for(folder / FINISHED_FILE)
        learned = soup([_network_tensors(folder) for folder in folders])
        network.load_state_dict(between(learned, former, phase.former_share))
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    write_whole(paths.best_checkpoint, safetensors.torch.save(tensors))
    return paths.best_checkpoint


def has_begun(paths: SystemPaths) -> bool:
    """Tell whether a run has weights of its own already."""
    first = paths.phase_dir(0)
    return (first / FINISHED_FILE).exists() or (first / LAST_FILE).exists()


def _started(config: SystemConfig, network: Detector, paths: SystemPaths) -> SystemConfig:
    """Give a network that has not begun its first weights; return the config by which it learns."""
    if not has_begun(paths):
        start = initialise(network, config.initialisation)
        write_whole(paths.initialisation, f"{start}\n".encode())
    if not paths.initialisation.read_text(encoding="utf-8").startswith(FROM_SCRATCH):
        return config
    # A trunk that knows nothing yet has to learn, whatever the config says of a pretrained one.
    return replace(config, frozen_trunk=False)


def _run_phase(
    config: SystemConfig,
    network: Detector,
    data: DetectorData,
    paths: SystemPaths,
    number: int,
    member: int,
) -> None:
    folder, shared = paths.phase_dir(number, member), paths.phase_dir(number)
    pools = [(data.pool, shared), (data.companions, shared / COMPANION)]
    for pool, place in pools if config.phases[number].hard_share else ():
        if pool is not None:
            pool.hard = hard_spots(network, pool, config.preprocessing, place)
    module = DetectorModule(
        network.to(memory_format=torch.channels_last),
        config,
        data.validation,
        phase=number,
        steps_per_epoch=data.steps_per_epoch,
    )
    best = BestCheckpoint(folder, monitor=config.monitor, mode=MODES[config.monitor])
    trainer = _trainer(config, data, number, folder, best)
    last = folder / LAST_FILE
    trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None)
    # Every process gets here, and none may go on before the phase is marked as finished.
    if trainer.is_global_zero:
        score = best.best_model_score
        finished = {
            "best": Path(best.best_model_path).name,
            config.monitor: None if score is None else float(score),
        }
        write_whole(folder / FINISHED_FILE, (json.dumps(finished) + "\n").encode())
    trainer.strategy.barrier()


def _trainer(
    config: SystemConfig, data: DetectorData, number: int, folder: Path, best: BestCheckpoint
) -> lightning.Trainer:
    phase, hardware = config.phases[number], data.hardware
    callbacks: list[Callback] = [
        best,
        LastCheckpoint(folder),
        PatientStopping(config.monitor, mode=MODES[config.monitor], patience=phase.patience),
        LearningRateMonitor("step"),
        TQDMProgressBar(refresh_rate=10),
        History(folder / HISTORY_FILE),
    ]
    return lightning.Trainer(
        max_epochs=phase.epochs,
        reload_dataloaders_every_n_epochs=1,
        precision=hardware.precision(config.precision),
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        accelerator=hardware.accelerator,
        gradient_clip_val=config.gradient_clip or None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        callbacks=[*callbacks, FrozenTrunk()] if config.frozen_trunk else callbacks,
        plugins=[WholeFiles()],
        log_every_n_steps=10,
    )


def _network_tensors(folder: Path) -> dict[str, torch.Tensor]:
    name = json.loads((folder / FINISHED_FILE).read_text(encoding="utf-8"))["best"]
    saved = torch.load(folder / name, map_location="cpu", weights_only=True)
    return {
        k.removeprefix(NETWORK_PREFIX): v
        for k, v in saved["state_dict"].items()
        if k.startswith(NETWORK_PREFIX)
    }
