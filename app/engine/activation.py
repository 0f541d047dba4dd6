"""The checkpoints among which the serving one is chosen, and writing the choice down."""

from pathlib import Path

from app.detection.card import Card, read_card
from app.detection.weights import ACTIVE_FILE, checkpoint, checkpoints, with_active
from app.engine.protocol import Candidate
from app.errors import ActivationError, WeightsError
from app.storage.files import write_atomically

READABLE_BY_ALL = 0o644


def candidates(weights_dir: Path, modality: str, active: Card | None) -> tuple[Candidate, ...]:
    """Return the checkpoints of a modality that lie in the weights folder, by name.

    Args:
        weights_dir: The folder with ``active.toml``.
        modality: Key of the modality.
        active: The card of the one that serves now.
    """
    names = checkpoints(weights_dir, modality)
    return tuple(_candidate(weights_dir, modality, name, active) for name in names)


def _candidate(weights_dir: Path, modality: str, name: str, active: Card | None) -> Candidate:
    try:
        card = read_card(checkpoint(weights_dir, modality, name))
    except WeightsError as error:
        return Candidate(name=name, problem=str(error))
    problem = None
    if card.modality != modality:
        problem = f"It is for the modality {card.modality!r}."
    is_active = active is not None and (card.name, card.sha256) == (active.name, active.sha256)
    return Candidate(name=name, card=card, is_active=is_active, problem=problem)


def choose(weights_dir: Path, modality: str, name: str) -> None:
    """Name the checkpoint that serves a modality in ``active.toml``, for the next start too.

    Raises:
        ActivationError: The file cannot be written; it is as it was.
    """
    path = weights_dir / ACTIVE_FILE
    try:
        write_atomically(path, with_active(weights_dir, modality, name))
        path.chmod(READABLE_BY_ALL)  # it is no secret, and training may run as another user
    except OSError as error:
        raise ActivationError(f"{ACTIVE_FILE} cannot be written ({error.strerror})") from error
