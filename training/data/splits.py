"""Sides by patient: everything of a person stands on one side, and the test of that."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.config import DatasetConfig, SideShares
from training.data.manifest import Scan
from training.errors import LeakError
from training.seeding import generator_for

SIDES = ("train", "validation", "test")
COMPANION = "companion"
"""The side of scans of another data set that are learned from beside the training side."""


def assign_sides(scans: Sequence[Scan], config: DatasetConfig) -> list[Scan]:
    """Return the scans with a side each, divided by patient within every source.

    A scan that brings its side keeps it, and its patient's other scans join it. A fake of no named
    patient goes with the scan that it was made from.

    A source with too few patients for a share gives that side none; a single patient trains,
    unless the source's own shares say otherwise. Train and validation are rounded by themselves, so
    the test side of a small source may be one patient short: 22 patients at 0.6, 0.2 and 0.2 give
    13, 4 and 5, but 5 patients at 0.6, 0.3 and 0.1 give 3, 2 and none. Sides that were drawn before
    must not move, so this stays as it is.
    """
    people_by_path = {str(scan.path.resolve()): scan.person for scan in scans}
    person_of = [_person_in(scan, people_by_path) for scan in scans]
    side_of = {p: s.side for p, s in zip(person_of, scans, strict=True) if s.side}
    undecided: dict[str, set[str]] = defaultdict(set)
    for scan, person in zip(scans, person_of, strict=True):
        if person == scan.person and person not in side_of:
            undecided[scan.source].add(person)
    for source in sorted(undecided):
        shares = config.own_sides.get(source, config.sides)
        side_of |= _divide(sorted(undecided[source]), shares, seed=(config.seed, source))
    return [
        replace(scan, side=scan.side or side_of[person])
        for scan, person in zip(scans, person_of, strict=True)
    ]


def check_no_leak(scans: Iterable[Scan]) -> None:
    """Make sure that no patient stands on two sides and each fake stands with its origin.

    Raises:
        LeakError: One does not; it names a scan of each side.
    """
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for scan in scans:
        found[f"patient {scan.person}"].setdefault(scan.side, scan.path)
        # Resolved, since a manifest may have been named by a relative path: origins are absolute.
        found[f"scan {Path(scan.origin or scan.path).resolve()}"].setdefault(scan.side, scan.path)
    for what, sides in found.items():
        if len(sides) > 1:
            raise LeakError(what, tuple(sorted(sides)), [sides[side] for side in sorted(sides)])


def _person_in(scan: Scan, people_by_path: Mapping[str, str]) -> str:
    """Return the person of a scan, which is that of its origin if it names none of its own."""
    if scan.patient or not scan.origin:
        return scan.person
    return people_by_path.get(scan.origin, scan.person)


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
