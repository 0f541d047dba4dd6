"""How the learning rate falls over a phase.

- ``one_cycle``: up and down again, step by step (Smith and Topin, "Super-Convergence", 2018).
- ``constant``: it does not.
- ``cosine``: half a cosine, epoch by epoch, as in the source of document 000.
- ``plateau``: halved after 3 epochs without a lower validation loss, as Keras does it.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

ONE_CYCLE_RISE = 0.15
"""Share of the cycle in which the learning rate rises."""
PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 3
KERAS_MIN_DELTA = 1e-4


def one_cycle(optimiser: Optimizer, *, peak: float, steps: int) -> OneCycleLR:
    """Return the schedule of a phase with so many steps, to be stepped after each."""
    # One step more than there are: the last one is followed by a step of the schedule as well.
    return OneCycleLR(optimiser, max_lr=peak, total_steps=steps + 1, pct_start=ONE_CYCLE_RISE)


def cosine_share(epoch: int, epochs: int) -> float:
    """Return the share of the learning rate that epoch ``epoch`` (from 0) of ``epochs`` has."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def plateau(optimiser: Optimizer) -> ReduceLROnPlateau:
    """Return the schedule to be stepped with each epoch's validation loss."""
    return ReduceLROnPlateau(
        optimiser,
        factor=PLATEAU_FACTOR,
        # Keras reduces when so many epochs have passed; PyTorch when one more has.
        patience=PLATEAU_PATIENCE - 1,
        threshold=KERAS_MIN_DELTA,
        threshold_mode="abs",
    )
