from typing import Any

import pytest
import torch

from tests.training.fakes.contract import TINY_ARGUMENTS
from training.errors import GeneratorError
from training.fakes.base import create
from training.fakes.diff_augment import augmented
from training.fakes.fastgan_networks import Critic, Painter

NAME = "fastgan"
TINY = TINY_ARGUMENTS[NAME]


@pytest.mark.parametrize("side", [16, 64, 256])
def test_networks_fit_every_side(side: int) -> None:
    painter = Painter(side=side, latent=8, width=4)
    critic = Critic(side=side, width=4)

    images = painter(torch.randn(2, 8))
    logits, features = critic(images)
    loss = critic.redrawing_loss(images, features, 3) + logits.mean()
    torch.autograd.backward(loss)

    assert images.shape == (2, 1, side, side)
    assert logits.shape == (2, 1, 5, 5)
    assert all(p.grad is not None for p in [*painter.parameters(), *critic.parameters()])


def test_fine_noise_changes_the_scan_once_it_is_learned() -> None:
    painter = Painter(side=16, latent=8, width=4).eval()
    latent = torch.randn(1, 8)
    for name, parameter in painter.named_parameters():
        if name.endswith("grain"):
            torch.nn.init.ones_(parameter)

    one, again, other = (painter(latent, torch.Generator().manual_seed(s)) for s in (1, 1, 2))

    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("arguments", [{}, {"output_side": 64, "side": 48}])
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="Generator 'fastgan': "):
        create(NAME, arguments)


# --- differentiable augmentation ------------------------------------------------------------


def test_augmentation_keeps_the_shape_and_lets_gradients_through() -> None:
    images = torch.rand(4, 1, 32, 32, requires_grad=True)

    varied = augmented(images)
    torch.autograd.backward(varied.sum())

    assert varied.shape == images.shape
    assert images.grad is not None
    assert (images.grad != 0).any()


def test_each_image_is_varied_on_its_own() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 1, 32, 32).expand(3, -1, -1, -1)

    varied = augmented(images)

    assert not torch.allclose(varied[0], varied[1])
    assert not torch.allclose(varied[1], varied[2])
    # A part of each is cut out, though never more than a square of half the side.
    assert 0 < (varied == 0).float().mean() < 0.5
