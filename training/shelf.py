"""The folder of published weights: putting a pair there, keeping the former ones, going back.

A pair is a checkpoint and its card. Two files cannot be replaced in one step, so a pair is
replaced in this order: the new files are written whole under other names, the old card goes, the
new checkpoint takes its place, the new card comes last. Whoever is stopped between these steps
leaves weights without a card, which nothing serves, and never weights with the card of others;
the next publication or rollback finishes what was begun.
"""

import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from hashlib import sha256
from pathlib import Path

from app.detection.card import Card, read_card
from app.detection.weights import ACTIVE_FILE, CHECKPOINT_SUFFIX, with_active
from app.errors import VeriscanError
from training.errors import RollbackError
from training.runs import write_whole

FORMER_DIR = "former"
"""Below each modality's folder; git ignores it, since its history has what was committed."""
SERVED_FILE = "served.json"
CARD_SUFFIX = ".json"
PARTIAL_SUFFIX = ".partial"
SHORT_SHA = 12
LEAST_PREFIX = 4
REQUIRED = {f.name for f in fields(Card) if f.default is MISSING and f.default_factory is MISSING}
"""Fields that every detector's card has."""


@dataclass(frozen=True, slots=True)
class Served:
    """A pair that serves, or once did."""

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:SHORT_SHA]})"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The published weights of one modality.

    Attributes:
        weights_dir: The folder that the application serves from.
        modality: Key of the modality.
    """

    weights_dir: Path
    modality: str

    @property
    def folder(self) -> Path:
        """Where the pairs lie."""
        return self.weights_dir / self.modality

    @property
    def former(self) -> Path:
        """Where pairs that were replaced are kept."""
        return self.folder / FORMER_DIR

    def serving(self) -> Served | None:
        """Return what serves now; None if nothing does or its card cannot be read."""
        name = _active(self.weights_dir).get(self.modality)
        if name is None:
            return None
        try:
            return Served(name, read_card(self.folder / f"{name}{CARD_SUFFIX}").sha256)
        except VeriscanError:
            return None

    def put(self, card: Card, checkpoint: bytes) -> None:
        """Write a pair, and keep the one of that name that was there.

        Raises:
            RollbackError: What served before cannot be read.
        """
        self.recover()
        self._remember_serving()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._replace(card.name, checkpoint, card.to_json().encode())

    def activate(self, name: str) -> None:
        """Let the pair of that name serve the modality.

        Raises:
            RollbackError: What served before cannot be read.
        """
        self._remember_serving()
        choose(self.weights_dir, self.modality, name)
        self._remember_serving()

    def rollback(self, to: str | None = None) -> Served:
        """Go back to what served before.

        Args:
            to: The first characters of a checkpoint's SHA-256; what served last where None.

        Returns:
            What serves now.

        Raises:
            RollbackError: There is nothing to go back to, or several pairs fit.
        """
        self.recover()
        now, history = self.serving(), self.served_before()
        if to is not None:
            target = self._kept_as(to)
            history = [*history, *([now] if now and history[-1:] != [now] else []), target]
        else:
            while history and history[-1] == now:
                history.pop()
            if not history:
                problem = "no weights are known that served before"
                raise RollbackError(self.modality, problem, [str(k) for k in self.kept()])
            target = history[-1]
        self._restore(target)
        choose(self.weights_dir, self.modality, target.name)
        self._write_history(history)
        return target

    def kept(self) -> list[Served]:
        """Return every pair that can serve, former ones included."""
        return sorted({served for served, _ in self._pairs()}, key=lambda s: (s.name, s.sha256))

    def recover(self) -> None:
        """Finish or undo what a stopped publication left behind."""
        for partial in sorted(self.folder.glob(f"*{CARD_SUFFIX}{PARTIAL_SUFFIX}")):
            name = partial.name.removesuffix(CARD_SUFFIX + PARTIAL_SUFFIX)
            if not self._paths(name)[1].exists() and self._is_complete(name):
                self._swap(name)
        for partial in self.folder.glob(f"*{PARTIAL_SUFFIX}"):
            partial.unlink()

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}{CHECKPOINT_SUFFIX}", self.folder / f"{name}{CARD_SUFFIX}"

    def _is_complete(self, name: str) -> bool:
        checkpoint, card = self._paths(name)
        try:
            wanted = json.loads(_partial(card).read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return any(
            path.exists() and sha256(path.read_bytes()).hexdigest() == wanted
            for path in (_partial(checkpoint), checkpoint)
        )

    def _replace(self, name: str, checkpoint: bytes, card: bytes) -> None:
        checkpoint_path, card_path = self._paths(name)
        write_whole(_partial(checkpoint_path), checkpoint)
        write_whole(_partial(card_path), card)
        self._keep(name)
        self._swap(name)

    def _swap(self, name: str) -> None:
        checkpoint, card = self._paths(name)
        card.unlink(missing_ok=True)
        if _partial(checkpoint).exists():
            _partial(checkpoint).replace(checkpoint)
        _partial(card).replace(card)

    def _keep(self, name: str) -> None:
        checkpoint, card = self._paths(name)
        try:
            kept_as = f"{name}-{read_card(card).sha256[:SHORT_SHA]}"
        except VeriscanError:
            return  # there is none, or it is of no use
        if not checkpoint.exists() or (self.former / f"{kept_as}{CARD_SUFFIX}").exists():
            return
        self.former.mkdir(exist_ok=True)
        for path in (checkpoint, card):  # the card last: it says that the pair is whole
            kept = self.former / f"{kept_as}{path.suffix}"
            shutil.copyfile(path, _partial(kept))
            _partial(kept).replace(kept)

    def _pairs(self) -> Iterator[tuple[Served, Path]]:
        for path in (*self.folder.glob(f"*{CARD_SUFFIX}"), *self.former.glob(f"*{CARD_SUFFIX}")):
            if not path.with_suffix(CHECKPOINT_SUFFIX).exists():
                continue
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # damaged: nothing could serve with it
            # The modality's gate has a card of another kind.
            if isinstance(raw, dict) and raw.keys() >= REQUIRED and _names(raw):
                yield Served(raw["name"], raw["sha256"]), path

    def _kept_as(self, to: str) -> Served:
        fitting = [s for s in self.kept() if len(to) >= LEAST_PREFIX and s.sha256.startswith(to)]
        if len(fitting) != 1:
            problem = f"{len(fitting) or 'no'} weights begin with {to!r}"
            raise RollbackError(self.modality, problem, [str(k) for k in self.kept()])
        return fitting[0]

    def _restore(self, target: Served) -> None:
        paths = [path for served, path in self._pairs() if served == target]
        if not paths:
            problem = f"{target} served before and is not kept here"
            raise RollbackError(self.modality, problem, [str(k) for k in self.kept()])
        if paths[0].parent == self.folder:
            return
        checkpoint = paths[0].with_suffix(CHECKPOINT_SUFFIX).read_bytes()
        self._replace(target.name, checkpoint, paths[0].read_bytes())

    def served_before(self) -> list[Served]:
        """Return what served, the latest last.

        Raises:
            RollbackError: It cannot be read.
        """
        path = self.former / SERVED_FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(raw, list) or not all(map(_names, raw)):
                raise ValueError("it is not a list of names and hashes")
            return [Served(name=entry["name"], sha256=entry["sha256"]) for entry in raw]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            problem = (
                f"{path} cannot be used ({error}); delete it to go on without what it remembers "
                "of the order, and name what shall serve by its hash"
            )
            kept = [str(served) for served in self.kept()]
            raise RollbackError(self.modality, problem, kept) from error

    def _remember_serving(self) -> None:
        now, history = self.serving(), self.served_before()
        if now is not None and history[-1:] != [now]:
            self._write_history([*history, now])

    def _write_history(self, history: list[Served]) -> None:
        self.former.mkdir(parents=True, exist_ok=True)
        content = json.dumps([{"name": s.name, "sha256": s.sha256} for s in history], indent=2)
        write_whole(self.former / SERVED_FILE, (content + "\n").encode())


def _names(entry: object) -> bool:
    """Tell whether something read from JSON names a pair."""
    return isinstance(entry, dict) and all(
        isinstance(entry.get(key), str) for key in ("name", "sha256")
    )


def choose(weights_dir: Path, modality: str, name: str) -> None:
    """Name the checkpoint that serves a modality in ``active.toml``."""
    content = with_active(weights_dir, modality, name)
    weights_dir.mkdir(parents=True, exist_ok=True)
    write_whole(weights_dir / ACTIVE_FILE, content)


def _active(weights_dir: Path) -> dict[str, str]:
    path = weights_dir / ACTIVE_FILE
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _partial(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL_SUFFIX)
