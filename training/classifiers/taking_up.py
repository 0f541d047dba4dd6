"""Going on from published weights where the run that made them is gone."""

import json
from pathlib import Path
from typing import Any

import torch

from app.detection.architectures import build
from app.detection.weights import LoadedDetector, load_detector
from training.classifiers.train import FINISHED_FILE, NETWORK_PREFIX, has_begun
from training.config import SystemConfig
from training.errors import TrainingError
from training.runs import SystemPaths, write_whole

PUBLISHED_FILE = "published.ckpt"
SHOWN_DIGITS = 12


class TakeUpError(TrainingError):
    """Published weights cannot stand for the first phases of a run."""


def take_up(
    card_path: Path,
    config: SystemConfig,
    paths: SystemPaths,
    *,
    phases: int,
    second_look: Path | None = None,
) -> None:
    """Lay published weights down as what the first phases of a run have learned.

    They were rounded to 16 bits, which is all that is lost. A run that took the same ones up before
    is left as it is, so the same command goes on with it.

    Args:
        card_path: Card of the weights.
        config: Of the system that goes on.
        paths: Of its run.
        phases: So many of the first phases have learned; at least one more is left to train, but
            where a second look is added.
        second_look: Card of weights of the same data set, as which the network's second look
            begins (see ``EfficientNetB4``); without it, with what the first has learned.

    Raises:
        TakeUpError: The run has begun otherwise, no phase is left, or the weights are another
            network's or learned from another data set, whose sides would not be these.
        WeightsMissingError: Card or checkpoint is not there.
        WeightsDamagedError: The checkpoint is not the one that the card describes.
    """
    most = len(config.phases) - (second_look is None)
    if not 1 <= phases <= most:
        raise TakeUpError(
            f"{config.name} has {len(config.phases)} phases: name 1 to {most} that the published "
            "weights have behind them, so that one is left to train."
        )
    finished = [
        paths.phase_dir(number, member) / FINISHED_FILE
        for number in range(phases)
        for member in range(config.phases[number].members)
    ]
    published = _published(card_path, config)
    second = None if second_look is None else _published(second_look, config)
    taken = {
        "published": published.card.sha256,
        "phases": phases,
        "second_look": None if second is None else second.card.sha256,
    }
    if has_begun(paths):
        _check_that_it_took(taken, finished[0], paths)
        return
    network = build(config.architecture)
    wanted = network.state_dict()
    try:
        tensors = network.grown_from(
            published.network.state_dict(), None if second is None else second.network.state_dict()
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise TakeUpError(f"{second_look} cannot be a second look of {config.name}.") from error
    if {k: t.shape for k, t in wanted.items()} != {k: t.shape for k, t in tensors.items()}:
        raise TakeUpError(f"{card_path} holds another network than {config.name} has.")
    saved = {"state_dict": {f"{NETWORK_PREFIX}{name}": t for name, t in tensors.items()}}
    for mark in finished:
        mark.parent.mkdir(parents=True, exist_ok=True)
        torch.save(saved, mark.with_name(PUBLISHED_FILE))
    start = published.card.training.get("initialisation", "published weights")
    if second is not None:
        start += f"; second look of the weights {second.card.sha256[:SHOWN_DIGITS]}"
    write_whole(paths.initialisation, f"{start}\n".encode())
    for mark in reversed(finished):  # the first one last: it says that all is there
        write_whole(mark, (json.dumps({"best": PUBLISHED_FILE} | taken) + "\n").encode())


def _check_that_it_took(taken: dict[str, Any], first_mark: Path, paths: SystemPaths) -> None:
    """Check that a run began with these published weights.

    Raises:
        TakeUpError: It began otherwise.
    """
    mark = json.loads(first_mark.read_bytes()) if first_mark.exists() else {}
    if mark.get("best") != PUBLISHED_FILE:
        began = "otherwise"
    elif any(mark.get(name, value) != value for name, value in taken.items()):
        began = "with other published weights, another second look or after other phases"
    else:
        return
    raise TakeUpError(
        f"{paths.root} holds a run that began {began}. Delete it to begin with these, or leave out "
        "--published to go on with it."
    )


def _published(card_path: Path, config: SystemConfig) -> LoadedDetector:
    """Return published weights that learned from the data set of a system.

    Raises:
        TakeUpError: They did not.
    """
    published = load_detector(card_path)
    learned_from = published.card.training.get("dataset", "unknown")
    if learned_from != config.dataset:
        raise TakeUpError(
            f"{card_path} learned from the data set {learned_from}, {config.name} learns from "
            f"{config.dataset}: its patients may stand on other sides."
        )
    return published
