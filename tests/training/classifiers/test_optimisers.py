import pytest
import torch
from torch import nn

from training.classifiers.optimisers import MAKERS, optimiser_for, set_learning_rate
from training.recipe import OptimiserName


def parameters(*values: float) -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor([value])) for value in values]


@pytest.mark.parametrize("name", MAKERS)
def test_an_optimiser_lowers_what_it_minimises(name: OptimiserName) -> None:
    (weight,) = found = parameters(3.0)
    optimiser = optimiser_for(name, found, learning_rate=0.1, weight_decay=0.0)

    for _ in range(20):
        optimiser.zero_grad()
        torch.autograd.backward((weight**2).sum())
        optimiser.step()

    assert abs(float(weight.detach())) < 2.5


@pytest.mark.parametrize(("name", "shrinks"), [("adamw", True), ("adam", False)])
def test_only_adamw_has_weight_decay(name: OptimiserName, shrinks: bool) -> None:
    (weight,) = found = parameters(3.0)
    optimiser = optimiser_for(name, found, learning_rate=0.1, weight_decay=0.5)

    torch.autograd.backward((0 * weight).sum())
    optimiser.step()

    assert (float(weight.detach()) < 3.0) == shrinks


def test_adam_and_rmsprop_have_the_constants_of_keras() -> None:
    adam = optimiser_for("adam", parameters(1.0), learning_rate=0.1, weight_decay=0.0)
    rmsprop = optimiser_for("rmsprop", parameters(1.0), learning_rate=0.1, weight_decay=0.0)

    assert adam.defaults["eps"] == rmsprop.defaults["eps"] == 1e-7
    assert adam.defaults["betas"] == (0.9, 0.999)
    assert rmsprop.defaults["alpha"] == 0.9


def test_what_is_frozen_is_left_out() -> None:
    frozen, learning = parameters(1.0, 2.0)
    frozen.requires_grad_(False)

    optimiser = optimiser_for("adamw", [frozen, learning], learning_rate=0.1, weight_decay=0.5)

    assert optimiser.param_groups[0]["params"] == [learning]


def test_a_learning_rate_is_set_for_every_group() -> None:
    first, second = parameters(1.0, 2.0)
    optimiser = torch.optim.Adam([{"params": [first]}, {"params": [second]}], 0.1)

    set_learning_rate(optimiser, 0.02)

    assert [group["lr"] for group in optimiser.param_groups] == [0.02, 0.02]
