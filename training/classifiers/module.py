"""A detector in training; the network inside is a plain ``Detector``, free of Lightning."""

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from app.detection.architectures import Detector
from app.detection.labels import Label
from training.classifiers.losses import detector_loss
from training.config import PhaseConfig
from training.data.manifest import Scan
from training.evaluation.metrics import mean_auc_over_generators


class DetectorModule(lightning.LightningModule):
    """One phase of training.

    Args:
        network: The detector.
        phase: Length and learning rate.
        validation: The scans of the validation loader, in its order.
        cell_loss: Share of the loss that goes to single cells.
        weight_decay: Of AdamW.
    """

    def __init__(
        self,
        network: Detector,
        phase: PhaseConfig,
        validation: list[Scan],
        *,
        cell_loss: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.network = network
        self._phase = phase
        self._validation = validation
        self._cell_loss = cell_loss
        self._weight_decay = weight_decay
        self._logits: dict[int, float] = {}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch of pairs."""
        output = self.network(batch["image"].contiguous(memory_format=torch.channels_last))
        loss = detector_loss(
            type(output)(output.logits.float(), output.evidence.float()),
            batch["mask"],
            batch["label"],
            cell_loss=self._cell_loss,
        )
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep the logits of whole scans."""
        images, positions = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last)).logits
        for position, logit in zip(positions.tolist(), logits.float().tolist(), strict=True):
            self._logits[position] = logit

    def on_validation_epoch_end(self) -> None:
        """Log the mean AUC over the generators."""
        scans = [self._validation[position] for position in self._logits]
        auc = mean_auc_over_generators(
            labels=[int(s.label) for s in scans],
            scores=list(self._logits.values()),
            generators=[s.generator if s.label is Label.FAKE else "" for s in scans],
        )
        self._logits.clear()
        self.log("validation_auc", auc, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule (Smith and Topin 2018), stepped with each batch."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), self._phase.learning_rate, weight_decay=self._weight_decay
        )
        schedule = OneCycleLR(
            optimiser,
            max_lr=self._phase.learning_rate,
            total_steps=self._phase.epochs * self._phase.steps_per_epoch + 1,
            pct_start=0.15,
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
