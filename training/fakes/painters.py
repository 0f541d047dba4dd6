"""The networks that fill a hole in a patch, and how they learn it.

A small U-Net against a discriminator of patches of the patch, in the manner of pix2pix: Isola, Zhu,
Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.fakes.adversarial import against
from training.fakes.checkpoints import load_checkpoint, save_checkpoint
from training.fakes.device import best_device
from training.seeding import generator_for

PATCH_SIDE = 32
HOLE_SIDE = 20
BORDER = (PATCH_SIDE - HOLE_SIDE) // 2
HOLE = slice(BORDER, BORDER + HOLE_SIDE)
L1_WEIGHT = 100.0  # as in pix2pix, which CT-GAN's networks follow


class Painter(nn.Module):
    """A small U-Net: a patch with a hole and the hole's mask in, the whole patch out."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.down1 = _block(2, width, stride=1)
        self.down2 = _block(width, width * 2, stride=2)
        self.down3 = _block(width * 2, width * 4, stride=2)
        self.middle = _block(width * 4, width * 4, stride=2)
        self.up3 = _block(width * 8, width * 4, stride=1)
        self.up2 = _block(width * 6, width * 2, stride=1)
        self.up1 = _block(width * 3, width, stride=1)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised patches ``[B, 1, 32, 32]`` for inputs ``[B, 2, 32, 32]``."""
        first = self.down1(images)
        second = self.down2(first)
        third = self.down3(second)
        deep = self.middle(third)
        deep = self.up3(torch.cat([_doubled(deep), third], 1))
        deep = self.up2(torch.cat([_doubled(deep), second], 1))
        deep = self.up1(torch.cat([_doubled(deep), first], 1))
        painted: Tensor = self.out(deep)
        return painted


class PainterTraining:
    """Adversarial training of one painter against a discriminator of patches of the patch."""

    def __init__(self, painter: Painter, *, seed: int) -> None:
        torch.manual_seed(seed)
        painter.apply(_redraw)  # it was built before the seed was known
        self.seed = seed
        self.device = best_device()
        self.painter = painter.to(self.device)
        self.critic = nn.Sequential(
            nn.Conv2d(2, 32, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            _block(32, 64, stride=2),
            nn.Conv2d(64, 1, 3, padding=1),
        ).to(self.device)
        self.optimiser_p = torch.optim.Adam(painter.parameters(), 2e-4, betas=(0.5, 0.999))
        self.optimiser_c = torch.optim.Adam(self.critic.parameters(), 2e-4, betas=(0.5, 0.999))
        self.done = 0

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "painter": self.painter,
            "critic": self.critic,
            "optimiser_p": self.optimiser_p,
            "optimiser_c": self.optimiser_c,
        }

    def resume(self, folder: Path) -> int:
        """Load what was learned before; return the steps that had been done."""
        self.done = load_checkpoint(folder, self._parts)
        return self.done

    def run(self, patches: Tensor, steps: int, batch_size: int, folder: Path) -> None:
        """Train to ``steps``, saving every hundred."""
        self.painter.train()
        for step in tqdm(range(self.done, steps), desc=f"painter ({folder.name})", unit="step"):
            rng = generator_for("painter", self.seed, step)
            batch = patches[torch.from_numpy(rng.integers(len(patches), size=batch_size))]
            if rng.random() < 0.5:
                batch = batch.flip(-1)
            self._step(torch.rot90(batch, int(rng.integers(4)), (-2, -1)).to(self.device))
            if (step + 1) % 100 == 0 or step + 1 == steps:
                save_checkpoint(folder, self._parts, step + 1)

    def _step(self, real: Tensor) -> None:
        condition = with_hole(real)
        context = condition[:, :1]
        painted = self.painter(condition)
        loss_c = against(self.critic(torch.cat([context, real], 1)), 1.0) + against(
            self.critic(torch.cat([context, painted.detach()], 1)), 0.0
        )
        self.optimiser_c.zero_grad()
        loss_c.backward()
        self.optimiser_c.step()
        fooled = against(self.critic(torch.cat([context, painted], 1)), 1.0)
        loss_p = fooled + L1_WEIGHT * functional.l1_loss(painted, real)
        self.optimiser_p.zero_grad()
        loss_p.backward()
        self.optimiser_p.step()


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2),
    )


def _redraw(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        module.reset_parameters()


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def with_hole(patches: Tensor) -> Tensor:
    """Return patches with a blank middle, and the middle's mask as second channel."""
    hole = torch.zeros_like(patches)
    hole[..., HOLE, HOLE] = 1
    return torch.cat([patches * (1 - hole), hole], 1)
