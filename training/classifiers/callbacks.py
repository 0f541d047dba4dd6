"""What happens around an epoch: the best one is kept, curves are written, a stopped run resumes."""

import json
import logging
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor

LAST_FILE = "last.ckpt"
HISTORY_FILE = "history.jsonl"
HISTORY_KEYS = (
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_auc",
    "learning_rate",
)


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch; of several with an equal figure, that with the lowest loss.

    A validation side that is easily told apart reaches an AUC of 1 early and stays there.

    Args:
        folder: Where ``best.ckpt`` goes.
        monitor: Logged name of the figure.
        mode: ``max`` or ``min``: which is better.
    """

    def __init__(self, folder: Path, *, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self._loss_of_best = float("inf")

    def check_monitor_top_k(
        self, trainer: lightning.Trainer, current: Tensor | None = None
    ) -> bool:
        """Return whether this epoch is to be kept in place of the best one so far."""
        loss = float(trainer.callback_metrics["validation_loss"])
        better = super().check_monitor_top_k(trainer, current)
        if not better and current is not None and current == self.best_model_score:
            better = trainer.strategy.reduce_boolean_decision(loss < self._loss_of_best)
        if better:
            self._loss_of_best = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know of the best epoch."""
        return super().state_dict() | {"loss_of_best": self._loss_of_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the stopped run was."""
        self._loss_of_best = state_dict["loss_of_best"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "loss_of_best"})


class LastCheckpoint(ModelCheckpoint):
    """Keeps the last whole epoch, to resume from.

    Lightning's own ``save_last`` writes only where the epoch was the best so far.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder,
            filename=LAST_FILE.removesuffix(".ckpt"),
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )


class PatientStopping(EarlyStopping):
    """Stops when patience is over, also if the run was killed at that very moment."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop at once if the epoch that the run resumes after was the last."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, so that no kill leaves half of one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None
    ) -> None:
        """Write beside the place where it belongs, then move it there."""
        partial = Path(f"{path}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, partial)
        partial.replace(path)


class History(Callback):
    """Writes one line an epoch, for the curves.

    Args:
        path: A file of JSON lines with ``epoch`` and ``step`` (from 0 and of all epochs so far),
            ``loss`` and ``accuracy`` of the training side, each also of the validation side, and
            its AUC.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget epochs that a killed run wrote down but could not keep."""
        if trainer.is_global_zero and self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _epoch_of(line) < trainer.current_epoch]
            self._path.write_text("".join(kept), encoding="utf-8")

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Append the epoch's figures."""
        if not trainer.is_global_zero:
            return
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k in HISTORY_KEYS}
        line = json.dumps({"epoch": trainer.current_epoch, "step": trainer.global_step} | figures)
        logging.getLogger(__name__).info("%s", line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _epoch_of(line: str) -> float:
    """Return the epoch of a line; of half a line, which a kill may leave, infinity."""
    try:
        return int(json.loads(line)["epoch"])
    except ValueError:
        return float("inf")
