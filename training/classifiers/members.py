"""Several networks of one phase: what each draws, who trains which, and the mean of all.

The mean of networks that were fine-tuned from the same weights is a model soup: Wortsman et al.,
ICML 2022, https://arxiv.org/abs/2203.05482.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from training.config import SystemConfig
from training.errors import MemberError
from training.seeding import seed_for

SECONDS_BETWEEN_LOOKS = 1.0


def members_of(config: SystemConfig, number: int, only: int | None) -> Sequence[int]:
    """Return the members of a phase that this process trains, from 0.

    Args:
        config: Of the system.
        number: Of the phase.
        only: The one member that it trains where a phase has it; every member where None.

    Raises:
        MemberError: No phase has that member.
    """
    if only is None:
        return range(config.phases[number].members)
    most = max(phase.members for phase in config.phases)
    if only >= most:
        raise MemberError(config.name, only, most)
    return [only] if only < config.phases[number].members else []


def wait_for(finished: Path) -> None:
    """Wait until another process has trained a member.

    Args:
        finished: The file that says so, in the member's folder.
    """
    if not finished.exists():
        logging.getLogger(__name__).warning(
            "Waiting for %s, which another process trains. If none does, start it with its "
            "--member, or stop this one and train without.",
            finished.parent,
        )
    while not finished.exists():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def drawn_by(config: SystemConfig, member: int) -> SystemConfig:
    """Return the config by which a member draws its scans and its dropout."""
    return replace(config, seed=seed_for("member", config.seed, member)) if member else config


def soup(learned: Sequence[Mapping[str, torch.Tensor]]) -> Mapping[str, torch.Tensor]:
    """Return the mean weights of networks; what only counts is taken from the first."""
    first = learned[0]
    return {
        name: torch.stack([m[name] for m in learned]).mean(0) if t.is_floating_point() else t
        for name, t in first.items()
    }


def between(
    learned: Mapping[str, torch.Tensor], former: Mapping[str, torch.Tensor], share: float
) -> Mapping[str, torch.Tensor]:
    """Return weights between two networks; what only counts is taken from what was learned.

    Args:
        learned: The weights at the end of a phase.
        former: Those at its beginning.
        share: Of the former, in [0, 1].
    """
    if share == 0:
        return learned
    return {
        name: torch.lerp(tensor, former[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in learned.items()
    }
