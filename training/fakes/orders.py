"""Which fakes are to be made, and which have been: production goes on where it was stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.detection.labels import Label
from training.config import FakesConfig
from training.data.manifest import Scan, on_side
from training.data.splits import SIDES
from training.json_lines import JsonLines
from training.seeding import seed_for


@dataclass(frozen=True, slots=True)
class Order:
    """One fake to be made: for which side, with which seed, of which original."""

    side: str
    seed: int
    name: str
    original: Scan | None


def orders(fakes: FakesConfig, originals: Sequence[Scan], *, edits: bool) -> Iterator[Order]:
    """Yield an order for each fake of a generator.

    Args:
        fakes: The generator's place in the data set's config.
        originals: The authentic scans of every side.
        edits: Whether the generator edits them; else they only say how many fakes each side gets.
    """
    for side in SIDES:
        for original in on_side(originals, side):
            for copy in range(fakes.per_real_of.get(original.source, fakes.per_real)):
                name = f"{original.path.stem}-{copy}"
                seed = seed_for(fakes.folder_name, fakes.seed, original.source, name)
                yield Order(side, seed, name, original if edits else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an order.

    Attributes:
        name: Of the order.
        made: Whether there is a fake; some originals offer no place for an edit.
        masked: Whether there is a mask.
        tamper: The kind of edit.
        center: Column and row of the edit, in pixels.
        drawn_side: Of the image before it was scaled, in pixels.
    """

    name: str
    made: bool = True
    masked: bool = False
    tamper: str = ""
    center: tuple[int, int] | None = None
    drawn_side: int | None = None


class Journal:
    """The outcomes so far, a line each, so that a kill loses none but the one at work.

    Args:
        path: Of the file; it is made if it is not there.
        listed: Fakes of an index that was written before there was a journal.
    """

    def __init__(self, path: Path, listed: Sequence[Scan] = ()) -> None:
        is_new = not path.exists()
        self._lines = JsonLines(path)
        if is_new:
            self._lines.begin([asdict(_listed(scan)) for scan in listed])
        known = map(_outcome, self._lines.read())
        self._outcomes = {outcome.name: outcome for outcome in known}

    def find(self, name: str) -> Outcome | None:
        """Return what came of an order; None if it was not filled yet."""
        return self._outcomes.get(name)

    def add(self, outcome: Outcome) -> None:
        """Write an outcome down."""
        self._outcomes[outcome.name] = outcome
        self._lines.add(asdict(outcome))


def _outcome(fields: dict[str, Any]) -> Outcome:
    center = fields["center"]
    return Outcome(**{**fields, "center": tuple(center) if center else None})


def _listed(scan: Scan) -> Outcome:
    center = (int(scan.x), int(scan.y)) if scan.x else None
    return Outcome(
        name=scan.path.stem,
        masked=bool(scan.mask),
        tamper=scan.tamper,
        center=center,
        drawn_side=int(scan.drawn_side) if scan.drawn_side else None,
    )


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of one generator's fakes."""

    folder: Path

    def image(self, name: str) -> Path:
        """Where a fake lies."""
        return self.folder / "images" / f"{name}.png"

    def mask(self, name: str) -> Path:
        """Where its mask lies."""
        return self.folder / "masks" / f"{name}.png"

    def holds(self, outcome: Outcome | None) -> bool:
        """Tell whether an order was filled and its files are there."""
        if outcome is None or not outcome.made:
            return outcome is not None
        masked = not outcome.masked or self.mask(outcome.name).exists()
        return masked and self.image(outcome.name).exists()

    def row(
        self, order: Order, outcome: Outcome, generator: str, *, drawn_side: int | None = None
    ) -> Scan:
        """Return a fake's row in the index; ``drawn_side`` is that of all fakes, if any is."""
        original, center = order.original, outcome.center
        return Scan(
            path=self.image(order.name),
            label=Label.FAKE,
            source=original.source if original else generator,
            patient=original.patient if original else str(order.seed),
            side=order.side,
            generator=generator,
            seed=str(order.seed),
            origin=str(original.path) if original else "",
            mask=str(self.mask(order.name)) if outcome.masked else "",
            tamper=outcome.tamper,
            x=str(center[0]) if center else "",
            y=str(center[1]) if center else "",
            licence=original.licence if original else "",
            drawn_side=str(outcome.drawn_side or drawn_side or ""),
        )
