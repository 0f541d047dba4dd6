"""Sides by patient: everything of a person stands on one side, and the test of that."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from training.config import DatasetConfig, SideShares
from training.data.manifest import Scan
from training.errors import LeakError
from training.seeding import generator_for

SIDES = ("train", "validation", "test")


def assign_sides(scans: Sequence[Scan], config: DatasetConfig) -> list[Scan]:
    """Return the scans with a side each, divided by patient within every source.

    A source with too few patients for a share gives that side none; a single patient trains,
    unless the source's own shares say otherwise.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for scan in scans:
        people[scan.source].add(scan.person)
    side_of: dict[str, str] = {}
    for source in sorted(people):
        shares = config.own_sides.get(source, config.sides)
        side_of |= _divide(sorted(people[source]), shares, seed=(config.seed, source))
    return [replace(scan, side=side_of[scan.person]) for scan in scans]


def check_no_leak(scans: Iterable[Scan]) -> None:
    """Make sure that no patient stands on two sides and each fake stands with its origin.

    Raises:
        LeakError: One does not.
    """
    sides_of: dict[str, set[str]] = defaultdict(set)
    for scan in scans:
        sides_of[f"patient {scan.person}"].add(scan.side)
        sides_of[f"scan {scan.origin or scan.path}"].add(scan.side)
    for what, sides in sides_of.items():
        if len(sides) > 1:
            raise LeakError(what, tuple(sorted(sides)))


def _divide(people: list[str], shares: SideShares, seed: tuple[object, ...]) -> dict[str, str]:
    order = generator_for("sides", *seed).permutation(len(people))
    train_end = round(shares.train * len(people))
    validation_end = train_end + round(shares.validation * len(people))
    if len(people) == 1 and shares.train > 0:
        train_end = validation_end = 1
    side_of = {}
    for position, index in enumerate(order):
        if position < train_end:
            side = "train"
        elif position < validation_end:
            side = "validation"
        else:
            side = "test"
        side_of[people[index]] = side
    return side_of
