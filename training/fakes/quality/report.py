"""The figures of a generator's fakes, each beside the same figure for authentic scans.

Fréchet and kernel distances tell how near the fakes come to authentic scans, the nearest-scan
distance whether a generator copies what it was trained on.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.images import read_grey
from training.data.manifest import Scan, on_side
from training.fakes.quality.contact_sheet import square_around, write_sheet
from training.fakes.quality.distances import (
    MIN_SCANS,
    frechet_distance,
    kernel_distance,
    nearest_distances,
)
from training.fakes.quality.trunks import TrunkMissingError, load_trunk, trunk_is_here
from training.fakes.squares import read_squares
from training.runs import write_whole
from training.seeding import generator_for

QUALITY_FILE = "quality.json"
SHEET_FILE = "contact_sheet.png"
MEASURED = 100  # scans of each kind; more would take minutes on a CPU
SHOWN = 32
SMALL_SIDE = 32  # pixels at which scans are compared one by one
CROP_SIDE = 96  # pixels around an edit

Greys = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measure of a generator's fakes.

    Attributes:
        value: Of the fakes; None where it was not measured.
        authentic: The same of authentic scans in the fakes' place.
        note: What was compared, or why it was not measured.
    """

    value: float | None = None
    authentic: float | None = None
    note: str


def describe(folder: Path, fakes: Sequence[Scan], originals: Sequence[Scan]) -> None:
    """Write a generator's figures and its contact sheet, unless they are there.

    What could not be measured for want of a network's weights is measured once they are there.

    Args:
        folder: The generator's.
        fakes: Rows of all its fakes.
        originals: The authentic scans of every side.
    """
    digest = sha256("\n".join(f"{s.path.name} {s.seed}" for s in fakes).encode()).hexdigest()
    path = folder / QUALITY_FILE
    if not fakes or _is_described(path, digest):
        return
    report = {
        "generator": fakes[0].generator,
        "fakes": len(fakes),
        "fakes_sha256": digest,
        "figures": {name: asdict(figure) for name, figure in measure(fakes, originals).items()},
    }
    write_sheet(folder / SHEET_FILE, _some(fakes, SHOWN))
    write_whole(path, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())


def _is_described(path: Path, digest: str) -> bool:
    if not path.exists():
        return False
    written = json.loads(path.read_bytes())
    unseen = written["figures"]["frechet_distance"]["value"] is None
    return bool(written["fakes_sha256"] == digest) and not (unseen and trunk_is_here())


def measure(fakes: Sequence[Scan], originals: Sequence[Scan]) -> dict[str, Figure]:
    """Return the distances of a generator's fakes; see ``training.fakes.quality.distances``.

    Fréchet and kernel distances depend on the network that sees the images: only figures with the
    same features can be compared. They are no FID or KID, which are defined on one certain network.
    """
    return _distances(fakes, originals) | {"nearest_training_scan": _nearest(fakes, originals)}


def _distances(fakes: Sequence[Scan], originals: Sequence[Scan]) -> dict[str, Figure]:
    measures = {"frechet_distance": frechet_distance, "kernel_distance": kernel_distance}
    try:
        trunk = load_trunk()
    except TrunkMissingError as error:
        return dict.fromkeys(measures, Figure(note=f"not measured: {error}"))
    samples, note = _edited(fakes) if fakes[0].origin else _synthetic(fakes, originals)
    fewest = min(len(greys) for greys in samples)
    if fewest < MIN_SCANS:
        reason = f"not measured: {fewest} scans of a kind, at least {MIN_SCANS} are needed"
        return dict.fromkeys(measures, Figure(note=reason))
    made, authentic, reference = (trunk.features(greys) for greys in samples)
    counts = "/".join(str(len(greys)) for greys in samples)
    return {
        name: Figure(
            value=distance(made, reference),
            authentic=distance(authentic, reference),
            note=f"{note} ({counts} images); features of {trunk.name}",
        )
        for name, distance in measures.items()
    }


def _synthetic(
    fakes: Sequence[Scan], originals: Sequence[Scan]
) -> tuple[tuple[Greys, Greys, Greys], str]:
    sides = [on_side(originals, side) for side in ("validation", "train")]
    made, authentic, reference = (
        [read_grey(scan.path) for scan in _some(scans, MEASURED)] for scans in (fakes, *sides)
    )
    return (made, authentic, reference), "fakes, authentic validation scans: to training scans"


def _edited(fakes: Sequence[Scan]) -> tuple[tuple[Greys, Greys, Greys], str]:
    """Compare edits of half of the scans, and these as they were, with the other half."""
    drawn = _some(fakes, 2 * MEASURED)
    origins = sorted({scan.origin for scan in drawn})
    order = generator_for("half", len(origins)).permutation(len(origins))
    half = {origins[i] for i in order[: len(order) // 2]}
    first = [scan for scan in drawn if scan.origin in half]
    second = [scan for scan in drawn if scan.origin not in half]
    made = [_shown(scan.path, scan) for scan in first]
    authentic, reference = (
        [_shown(Path(scan.origin), scan) for scan in scans] for scans in (first, second)
    )
    what = f"squares of {CROP_SIDE} pixels around edits" if fakes[0].x else "whole scans"
    return (made, authentic, reference), f"{what}, edited and before: to others before editing"


def _shown(path: Path, fake: Scan) -> NDArray[np.float32]:
    grey = read_grey(path)
    return square_around(grey, (int(fake.x), int(fake.y)), CROP_SIDE) if fake.x else grey


def _nearest(fakes: Sequence[Scan], originals: Sequence[Scan]) -> Figure:
    if fakes[0].origin:
        return Figure(note="not measured: edits are made from authentic scans")
    training, validation = (on_side(originals, side) for side in ("train", "validation"))
    if not training or not validation:
        return Figure(note="not measured: there is no authentic scan on a side")
    real = read_squares([s.path for s in training], SMALL_SIDE)
    made, authentic = (
        nearest_distances(read_squares([s.path for s in _some(scans, MEASURED)], SMALL_SIDE), real)
        for scans in (fakes, validation)
    )
    copies = float((made < authentic.min()).mean())
    return Figure(
        value=float(np.median(made)),
        authentic=float(np.median(authentic)),
        note=(
            f"median root mean square difference of grey values at {SMALL_SIDE} pixels, mirrored "
            f"or not; {copies:.1%} of the fakes are nearer to a training scan than any authentic "
            "validation scan is"
        ),
    )


def _some(scans: Sequence[Scan], count: int) -> list[Scan]:
    """Draw scans without order, the same ones each time."""
    order = generator_for("quality", len(scans)).permutation(len(scans))[:count]
    return [scans[i] for i in sorted(order)]
