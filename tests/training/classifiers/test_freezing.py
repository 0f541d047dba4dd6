import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from training.classifiers.freezing import FrozenTrunk


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(images))
        return logits.mean((1, 2, 3))


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.softplus(self.network(batch[0])).mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.network(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 0.1, weight_decay=0.1)


def test_only_the_head_learns_and_batch_norm_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    module = Module()
    before = {key: tensor.clone() for key, tensor in module.network.state_dict().items()}
    images = DataLoader(TensorDataset(3 + torch.randn(8, 3, 8, 8)), 4)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[FrozenTrunk()],
    )

    trainer.fit(module, images, images)

    changed = {k for k, v in module.network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"head.weight", "head.bias"}
