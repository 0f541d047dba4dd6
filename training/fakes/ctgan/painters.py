"""The networks of CT-GAN in two dimensions, and how they learn to fill in a region's middle.

The layout is that of Mirsky et al. 2019 (see ``training.fakes.ctgan_imitation``): a U-Net without
a skip at full resolution, so that its last layer works on doubled pixels and leaves their mesh; a
least-squares critic of patches that learns slowly, so that the L1 loss rules and paintings are
smooth. Written here after the paper, with fewer channels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.fakes.checkpoints import Stateful
from training.fakes.device import best_device

CUBE_SIDE = 32  # voxels of 1 mm
HOLE_SIDE = 20
BORDER = (CUBE_SIDE - HOLE_SIDE) // 2
HOLE = slice(BORDER, BORDER + HOLE_SIDE)
L1_WEIGHT = 100.0
PAINTER_RATE = 5e-4  # for hundreds of steps in place of their many thousands
CRITIC_RATE = 2e-5
BETAS = (0.5, 0.999)


class CubePainter(nn.Module):
    """Maps patches with a hole, and sketches of what shall be there, to whole patches.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        inputs = [2, *widths[:-1]]
        self.down = nn.ModuleList(
            _Down(i, o, norm=depth > 0)
            for depth, (i, o) in enumerate(zip(inputs, widths, strict=True))
        )
        up_inputs = [widths[4], *(2 * w for w in widths[3:0:-1])]
        self.up = nn.ModuleList(_Up(i, o) for i, o in zip(up_inputs, widths[3::-1], strict=True))
        self.last = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(2 * width, 1, 4)
        )

    def forward(self, conditions: Tensor) -> Tensor:
        """Return patches in [-1, 1], ``[B, 1, 32, 32]``, for conditions ``[B, 2, 32, 32]``."""
        skips = []
        features = conditions
        for layer in self.down:
            features = layer(features)
            skips.append(features)
        for layer, skip in zip(self.up, skips[-2::-1], strict=True):
            features = torch.cat([layer(features), skip], 1)
        # Painters begin with the sketch as it is and learn what is missing in it.
        return torch.tanh(self.last(features) + conditions[:, 1:])


class _Down(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, *, norm: bool) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.BatchNorm2d(outputs, momentum=0.2) if norm else nn.Identity(),
        )


class _Up(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2),
            nn.ZeroPad2d((1, 2, 1, 2)),
            nn.Conv2d(inputs, outputs, 4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.BatchNorm2d(outputs, momentum=0.2),
        )


class Snapshots:
    """States of a painter from early to late in its training; a part of its checkpoint."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def take(self, painter: nn.Module) -> None:
        """Keep the painter as it is now, in half precision, in main memory."""
        state = painter.state_dict()
        self.states.append(
            {
                k: v.detach().clone().half().cpu() if v.is_floating_point() else v.clone().cpu()
                for k, v in state.items()
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all of them."""
        return {"states": self.states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over those of a checkpoint."""
        self.states = list(state_dict["states"])

    def painters(self, width: int) -> list[CubePainter]:
        """Return a painter for each of them, ready to paint."""
        painters = []
        for state in self.states:
            painter = CubePainter(width)
            painter.load_state_dict(state)
            painters.append(painter.eval())
        return painters


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a painter learns from.

    Attributes:
        patches: Equalised patches as they shall become, float32 ``[N, 1, 32, 32]``.
        sketches: What is told of their middles, the same shape.
    """

    patches: Tensor
    sketches: Tensor

    def some(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw patches and their sketches, turned and mirrored at random."""
        drawn = torch.from_numpy(rng.integers(len(self.patches), size=count))
        pair = torch.cat([self.patches[drawn], self.sketches[drawn]], 1)
        pair = torch.rot90(pair, int(rng.integers(4)), (-2, -1))
        patches, sketches = (pair.flip(-1) if rng.random() < 0.5 else pair).chunk(2, 1)
        return patches, sketches


class Apprenticeship:
    """Adversarial training of one painter; everything of it that a checkpoint has to hold.

    It takes place on a GPU where there is one; snapshots paint their small patches on the CPU.

    Args:
        width: Channels of the painter's first layer.
        seed: Of initialisation.
    """

    def __init__(self, width: int, *, seed: int) -> None:
        torch.manual_seed(seed)
        self.device = best_device()
        self.painter = CubePainter(width).to(self.device)
        self.critic = _critic(width).to(self.device)
        self.optimiser_p = torch.optim.Adam(self.painter.parameters(), PAINTER_RATE, betas=BETAS)
        self.optimiser_c = torch.optim.Adam(self.critic.parameters(), CRITIC_RATE, betas=BETAS)
        self.snapshots = Snapshots()

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint has to hold."""
        return {
            "painter": self.painter,
            "critic": self.critic,
            "optimiser_p": self.optimiser_p,
            "optimiser_c": self.optimiser_c,
            "snapshots": self.snapshots,
        }

    def step(self, patches: Tensor, sketches: Tensor) -> None:
        """Learn from one batch."""
        patches, sketches = patches.to(self.device), sketches.to(self.device)
        conditions = condition(patches, sketches)
        painted = self.painter(conditions)
        right, wrong = (
            self.critic(torch.cat([images, conditions], 1))
            for images in (patches, painted.detach())
        )
        loss_c = 0.5 * ((right - 1) ** 2).mean() + 0.5 * (wrong**2).mean()
        self.optimiser_c.zero_grad()
        loss_c.backward()
        self.optimiser_c.step()
        doubted = ((self.critic(torch.cat([painted, conditions], 1)) - 1) ** 2).mean()
        self.optimiser_p.zero_grad()
        (doubted + L1_WEIGHT * functional.l1_loss(painted, patches)).backward()
        self.optimiser_p.step()


def condition(patches: Tensor, sketches: Tensor) -> Tensor:
    """Return patches with a blank middle, and what shall be there, ``[B, 2, 32, 32]``."""
    blanked = patches.clone()
    blanked[..., HOLE, HOLE] = 0
    return torch.cat([blanked, sketches], 1)


def _critic(width: int) -> nn.Sequential:
    return nn.Sequential(
        _Down(3, width, norm=False),
        _Down(width, 2 * width, norm=True),
        _Down(2 * width, 4 * width, norm=True),
        nn.Conv2d(4 * width, 1, 3, padding=1),
    )
