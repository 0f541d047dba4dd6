"""The second stage: fit each generator on the training side and make fakes for every side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.detection.labels import Label
from training.config import DatasetConfig, FakesConfig
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan, on_side, read_index, write_index
from training.data.splits import SIDES, check_no_leak
from training.errors import StageMissingError, TooFewScansError
from training.fakes.base import Fake, Generator, create
from training.runs import DatasetPaths, claim
from training.seeding import seed_for


@dataclass(frozen=True, slots=True)
class _Order:
    """One fake to be made: for which side, of which original, with which seed."""

    side: str
    seed: int
    name: str
    original: Scan | None


def produce(config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    """Make the fakes of a data set; those that are there already are kept.

    Generators see authentic scans of the training side only. A fake stands on the side of the
    scan that it was made from.

    Raises:
        StageMissingError: The data set is not prepared.
        TooFewScansError: There is no authentic scan to learn from.
        StaleRunError: Fakes of other settings lie there.
    """
    if not paths.scans_index.exists():
        raise StageMissingError(f"python -m training prepare --dataset {config.name}")
    scans = read_index(paths.scans_index)
    originals = [s for s in scans if s.label is Label.REAL]
    training = on_side(originals, "train")
    if not training:
        raise TooFewScansError("There is no authentic scan on the training side.")
    everything = list(scans)
    for fakes in config.fakes:
        generator = create(fakes.generator, fakes.arguments)
        folder = paths.generator_dir(fakes.generator)
        claim(folder, config.seed, config.sides, fakes)
        generator.fit([s.path for s in training], folder, seed=fakes.seed)
        made = [
            fake
            for order in tqdm(
                list(_orders(fakes, originals, generator)), desc=fakes.generator, unit="fake"
            )
            if (fake := _fill(order, generator, fakes.generator, folder)) is not None
        ]
        check_no_leak([*scans, *made])
        write_index(paths.fakes_index(fakes.generator), made)
        everything += made
    return everything


def read_dataset(config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    """Return every scan and fake of a data set.

    Raises:
        StageMissingError: A stage before has not run.
        LeakError: A patient or an origin stands on two sides.
    """
    indexes = [paths.scans_index, *(paths.fakes_index(f.generator) for f in config.fakes)]
    for index in indexes:
        if not index.exists():
            stage = "prepare" if index == paths.scans_index else "fakes"
            raise StageMissingError(f"python -m training {stage} --dataset {config.name}")
    scans = [scan for index in indexes for scan in read_index(index)]
    check_no_leak(scans)
    return scans


def _orders(
    fakes: FakesConfig, originals: Sequence[Scan], generator: Generator
) -> Iterator[_Order]:
    for side in SIDES:
        for original in on_side(originals, side):
            for copy in range(fakes.per_real):
                name = f"{original.path.stem}-{copy}"
                seed = seed_for(fakes.generator, fakes.seed, original.source, name)
                yield _Order(side, seed, name, original if generator.edits_originals else None)


def _fill(order: _Order, generator: Generator, name: str, folder: Path) -> Scan | None:
    """Make one fake, unless it is there; return its row, or None where no edit was possible."""
    original = order.original
    image = folder / "images" / f"{order.name}.png"
    mask = folder / "masks" / f"{order.name}.png"
    if original is None and image.exists():  # a synthetic scan's row needs nothing but its seed
        return _row(order, Fake(grey=read_grey(image)), name, image, None)
    fake = generator.make(read_grey(original.path) if original else None, seed=order.seed)
    if fake is None:
        return None
    if not image.exists():
        if fake.mask is not None:
            write_grey(mask, fake.mask.astype(np.float32))
        write_grey(image, fake.grey)
    return _row(order, fake, name, image, mask if fake.mask is not None else None)


def _row(order: _Order, fake: Fake, generator: str, image: Path, mask: Path | None) -> Scan:
    original = order.original
    return Scan(
        path=image,
        label=Label.FAKE,
        source=original.source if original else generator,
        patient=original.patient if original else str(order.seed),
        side=order.side,
        generator=generator,
        seed=str(order.seed),
        origin=str(original.path) if original else "",
        mask=str(mask) if mask else "",
        tamper=fake.tamper,
        x=str(fake.center[0]) if fake.center else "",
        y=str(fake.center[1]) if fake.center else "",
        licence=original.licence if original else "",
    )
