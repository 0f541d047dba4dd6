import json
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from training.classifiers.callbacks import (
    HISTORY_FILE,
    LAST_FILE,
    BestCheckpoint,
    History,
    LastCheckpoint,
    PatientStopping,
    WholeFiles,
)

FLAT = [0.5] * 9


class Scripted(lightning.LightningModule):
    """Reports figures that were written down before, and counts its epochs in a buffer."""

    epochs: Tensor

    def __init__(self, aucs: list[float], losses: list[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("epochs", torch.zeros(()))
        self._aucs, self._losses = aucs, losses

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("validation_auc", self._aucs[self.current_epoch])
        self.log("validation_loss", self._losses[self.current_epoch])

    def on_validation_epoch_end(self) -> None:
        self.epochs += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def fit(
    folder: Path,
    aucs: list[float],
    losses: list[float],
    *,
    monitor: str = "validation_auc",
    patience: int = 9,
    epochs: int | None = None,
) -> lightning.Trainer:
    """Run the script, resuming if there is something to resume from."""
    mode = "max" if monitor == "validation_auc" else "min"
    trainer = lightning.Trainer(
        max_epochs=epochs or len(aucs),
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[WholeFiles()],
        callbacks=[
            BestCheckpoint(folder, monitor=monitor, mode=mode),
            LastCheckpoint(folder),
            PatientStopping(monitor, mode=mode, patience=patience),
            History(folder / HISTORY_FILE),
        ],
    )
    loader = DataLoader(TensorDataset(torch.ones(2, 1)))
    last = folder / LAST_FILE
    path = str(last) if last.exists() else None
    trainer.fit(Scripted(aucs, losses), loader, loader, ckpt_path=path)
    return trainer


def best_epoch(folder: Path) -> int:
    saved: dict[str, Any] = torch.load(folder / "best.ckpt", weights_only=True)
    return int(saved["state_dict"]["epochs"]) - 1


def epochs_written(folder: Path) -> list[int]:
    lines = (folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["epoch"] for line in lines]


@pytest.mark.parametrize(
    ("aucs", "losses", "expected"),
    [
        ([0.6, 0.9, 0.8], [0.1, 0.5, 0.2], 1),
        ([0.9, 1.0, 1.0, 1.0], [0.1, 0.4, 0.2, 0.3], 2),
        ([1.0, 1.0, 1.0], [0.3, 0.3, 0.3], 0),
        ([1.0, 0.9, 1.0], [0.3, 0.1, 0.2], 2),
    ],
)
def test_the_best_epoch_has_the_best_auc_and_of_equals_the_lowest_loss(
    tmp_path: Path, aucs: list[float], losses: list[float], expected: int
) -> None:
    fit(tmp_path, aucs, losses)

    assert best_epoch(tmp_path) == expected


def test_the_best_epoch_by_loss_is_the_one_with_the_lowest(tmp_path: Path) -> None:
    fit(tmp_path, [0.9, 0.8, 0.7], [0.3, 0.1, 0.2], monitor="validation_loss")

    assert best_epoch(tmp_path) == 1


def test_a_resumed_run_remembers_the_loss_of_its_best_epoch(tmp_path: Path) -> None:
    aucs, losses = [1.0, 1.0, 1.0, 1.0], [0.5, 0.2, 0.3, 0.25]
    fit(tmp_path, aucs, losses, epochs=2)

    fit(tmp_path, aucs, losses)

    assert best_epoch(tmp_path) == 1


def test_a_run_whose_patience_was_over_when_it_was_killed_does_not_go_on(tmp_path: Path) -> None:
    falling = [0.9, 0.8, 0.7, 0.6, 0.95]
    assert fit(tmp_path, falling, FLAT, patience=2).current_epoch == 3

    fit(tmp_path, falling, FLAT, patience=2)

    assert epochs_written(tmp_path) == [0, 1, 2]
    assert best_epoch(tmp_path) == 0


def test_history_forgets_an_epoch_that_was_written_down_but_not_kept(tmp_path: Path) -> None:
    fit(tmp_path, [0.5, 0.6, 0.7, 0.8], FLAT, epochs=2)
    with (tmp_path / HISTORY_FILE).open("a", encoding="utf-8") as file:
        file.write('{"epoch": 2, "step": 3}\n{"epoch": 3, "st')

    fit(tmp_path, [0.5, 0.6, 0.7, 0.8], FLAT)

    assert epochs_written(tmp_path) == [0, 1, 2, 3]


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"epoch": 1}, path)

    with pytest.raises((AttributeError, TypeError)):
        WholeFiles().save_checkpoint({"epoch": lambda: 2}, path)

    assert torch.load(path, weights_only=True) == {"epoch": 1}
