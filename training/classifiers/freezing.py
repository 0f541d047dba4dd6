"""A trunk that stays as it began, so that only the head learns."""

import lightning
from torch import nn


class FrozenTrunk(lightning.Callback):
    """Keeps the network's ``trunk`` out of learning, and its batch norms to their old statistics.

    This is what Keras means by ``trainable = False``. Without gradients alone, batch norm would go
    on adapting to the new scans.
    """

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Take the trunk's parameters out of the gradients, before there is an optimiser."""
        _trunk(pl_module).requires_grad_(False)

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Keep the trunk in evaluation mode, whatever set it to training since."""
        _trunk(pl_module).eval()


def _trunk(module: lightning.LightningModule) -> nn.Module:
    return module.get_submodule("network.trunk")
