"""The optimisers that a phase may name.

AdamW has PyTorch's constants, Adam and RMSprop those of Keras, with which the source documents
trained. (Keras's AdamW, theirs for the ResNets from scratch, has an epsilon of 1e-7, not 1e-8.)
"""

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import Adam, AdamW, Optimizer, RMSprop

from training.recipe import OptimiserName

KERAS_EPSILON = 1e-7
KERAS_RHO = 0.9

Maker = Callable[[list[nn.Parameter], float, float], Optimizer]


def optimiser_for(
    name: OptimiserName,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """Return a fresh optimiser.

    Args:
        name: ``adamw`` (Loshchilov and Hutter, ICLR 2019), ``adam`` (Kingma and Ba, ICLR 2015) or
            ``rmsprop`` (Hinton, Coursera lecture 6e, 2012).
        parameters: Frozen ones are left out.
        learning_rate: To begin with.
        weight_decay: Of AdamW; the others have none.
    """
    learning = [p for p in parameters if p.requires_grad]
    return MAKERS[name](learning, learning_rate, weight_decay)


def _adamw(parameters: list[nn.Parameter], learning_rate: float, decay: float) -> Optimizer:
    return AdamW(parameters, learning_rate, weight_decay=decay)


def _adam(parameters: list[nn.Parameter], learning_rate: float, _decay: float) -> Optimizer:
    return Adam(parameters, learning_rate, eps=KERAS_EPSILON)


def _rmsprop(parameters: list[nn.Parameter], learning_rate: float, _decay: float) -> Optimizer:
    return RMSprop(parameters, learning_rate, alpha=KERAS_RHO, eps=KERAS_EPSILON)


MAKERS: dict[OptimiserName, Maker] = {"adamw": _adamw, "adam": _adam, "rmsprop": _rmsprop}


def set_learning_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """Give every group of parameters the same learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
