"""Rows that a later stage would stumble over, found before anything is decoded."""

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from app.detection.labels import Label
from training.data.images import read_grey
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.splits import SIDES
from training.errors import ManifestError
from training.runs import is_plain_name


def require_usable_rows(where: Path, raws: Sequence[RawScan]) -> None:
    """Make sure that every row says what the stages need, and that none contradicts itself.

    Args:
        where: What messages name beside the row.
        raws: All rows.

    Raises:
        ManifestError: One does not; it is named with what to change.
    """
    authentic = {str(r.scan.path.resolve()) for r in raws if r.scan.label is Label.REAL}
    require_each_once(where, [(raw.name, raw.scan.path) for raw in raws])
    for raw in raws:
        if problem := _problem(raw.scan, authentic):
            raise ManifestError(where, f"{raw.name}: {problem}")


def require_each_once(where: Path, rows: Iterable[tuple[str, Path]]) -> None:
    """Make sure that no image has two rows, given the name and the path of each.

    Raises:
        ManifestError: One has.
    """
    listed: set[Path] = set()
    for name, path in rows:
        if path.resolve() in listed:
            raise ManifestError(where, f"{name} is listed twice; leave one row out")
        listed.add(path.resolve())


def _problem(scan: Scan, authentic: Collection[str]) -> str:
    """Return what is wrong with a row, in words; nothing where all is well."""
    if scan.side not in ("", *SIDES):
        return f"side {scan.side!r} is none of {', '.join(SIDES)}"
    if not is_plain_name(scan.source):
        return f"source {scan.source!r} cannot name a folder: write a name without / and \\"
    if scan.label is Label.REAL and scan.generator:
        return f"it is labelled real, but names the generator {scan.generator!r}"
    if scan.origin and scan.origin not in authentic:
        return f"its origin {scan.origin} has no row as an authentic scan: add it, or name none"
    if not all(_is_number(place) for place in (scan.x, scan.y)) or bool(scan.x) != bool(scan.y):
        return f"x {scan.x!r} and y {scan.y!r} are no place in pixels: write two numbers or nothing"
    return _problem_of_mask(scan.mask) if scan.mask else ""


def _is_number(place: str) -> bool:
    try:
        return not place or 0 <= float(place) < math.inf
    except ValueError:
        return False


def _problem_of_mask(mask: str) -> str:
    try:
        marked = bool((read_grey(mask) > 0.5).any())
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for a broken file
        return f"its mask cannot be read ({error})"
    return "" if marked else f"its mask {mask} marks nothing: white (255) is inside the edit"
