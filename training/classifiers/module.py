"""A detector in training; the network inside is a plain ``Detector``, free of Lightning."""

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from app.detection.architectures import Detector
from app.detection.labels import Label
from training.classifiers.losses import detector_loss, l2_penalty
from training.classifiers.optimisers import optimiser_for, set_learning_rate
from training.classifiers.schedules import cosine_share, one_cycle, plateau
from training.config import SystemConfig
from training.data.manifest import Scan
from training.evaluation.metrics import mean_auc_over_generators
from training.seeding import seed_for

PLATEAU_STATE = "plateau"


class DetectorModule(lightning.LightningModule):
    """One phase of training.

    Args:
        network: The detector.
        config: Of the system.
        validation: The scans of the validation loader, in its order.
        phase: Number of the phase, from 0.
        steps_per_epoch: Of the phase.
    """

    def __init__(
        self,
        network: Detector,
        config: SystemConfig,
        validation: list[Scan],
        *,
        phase: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.network = network
        self._config = config
        self._phase_number = phase
        self._phase = config.phases[phase]
        self._steps_per_epoch = steps_per_epoch
        self._validation = validation
        self._logits: dict[int, float] = {}
        self._plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] = {}

    def on_train_epoch_start(self) -> None:
        """Set the learning rate of the epoch, where that is not for Lightning to do."""
        if self._phase.schedule == "cosine":
            share = cosine_share(self.trainer.current_epoch, self._phase.epochs)
            set_learning_rate(_only(self.optimizers()), self._phase.learning_rate * share)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Begin the random numbers anew, so that a resumed run draws the same dropout.

        Not once an epoch: a loader draws as well when it begins, and in a resumed run it does so
        at another moment.
        """
        place = (self._phase_number, self.trainer.current_epoch, batch_idx)
        torch.manual_seed(seed_for("batch", self._config.seed, *place, self.trainer.global_rank))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch, penalties included."""
        output = self.network(batch["image"].contiguous(memory_format=torch.channels_last))
        output = type(output)(output.logits.float(), output.evidence.float())
        labels = batch["label"]
        loss = detector_loss(output, batch["mask"], labels, cell_loss=self._config.cell_loss)
        loss = loss + l2_penalty(self.network, self._config.l2)
        right = ((output.logits > 0) == (labels > 0.5)).float().mean()
        count = len(labels)
        self.log("loss_step", loss, prog_bar=True, batch_size=count)
        self.log_dict(
            {"loss": loss.detach(), "accuracy": right},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=count,
        )
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep the logits of whole scans."""
        images, positions = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last)).logits
        for position, logit in zip(positions.tolist(), logits.float().tolist(), strict=True):
            self._logits[position] = logit

    def on_validation_epoch_end(self) -> None:
        """Log loss, accuracy and the mean AUC over the generators."""
        scans = [self._validation[position] for position in self._logits]
        logits = torch.tensor(list(self._logits.values()))
        labels = torch.tensor([float(s.label) for s in scans])
        self._logits.clear()
        entropy = functional.binary_cross_entropy_with_logits(logits, labels)
        loss = float(entropy) + float(l2_penalty(self.network, self._config.l2))
        auc = mean_auc_over_generators(
            labels=[int(s.label) for s in scans],
            scores=logits.tolist(),
            generators=[s.generator if s.label is Label.FAKE else "" for s in scans],
        )
        self.log("validation_loss", loss, prog_bar=True)
        self.log("validation_accuracy", ((logits > 0) == (labels > 0.5)).float().mean())
        self.log("validation_auc", auc, prog_bar=True)
        self.log("learning_rate", float(_only(self.optimizers()).param_groups[0]["lr"]))
        # Here and not by Lightning, which would do it after the checkpoint is written.
        if self._plateau is not None:
            self._plateau.step(loss)

    def configure_optimizers(self) -> Any:
        """Return the phase's optimiser, with its schedule where that is stepped by Lightning."""
        phase = self._phase
        optimiser = optimiser_for(
            phase.optimiser,
            self.network.parameters(),
            learning_rate=phase.learning_rate,
            weight_decay=self._config.weight_decay,
        )
        if phase.schedule == "plateau":
            self._plateau = plateau(optimiser)
            self._plateau.load_state_dict(self._plateau_state)
        if phase.schedule != "one_cycle":
            return optimiser
        steps = phase.epochs * self._steps_per_epoch
        schedule = one_cycle(optimiser, peak=phase.learning_rate, steps=steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a plateau remembers."""
        if self._plateau is not None:
            checkpoint[PLATEAU_STATE] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the plateau remembered for when there is an optimiser."""
        self._plateau_state = checkpoint.get(PLATEAU_STATE, {})


def _only(optimisers: Any) -> Optimizer:
    """Return the one optimiser there is, as PyTorch made it."""
    found: Optimizer = getattr(optimisers, "optimizer", optimisers)
    return found
