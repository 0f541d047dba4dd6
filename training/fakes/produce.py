"""The second stage: fit each generator on the training side and make fakes for every side."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.detection.labels import Label
from training.config import DatasetConfig, FakesConfig, load_dataset_config
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan, on_side, read_index, write_index
from training.data.splits import COMPANION, SIDES, check_no_leak
from training.errors import ManifestError, StageMissingError, TooFewScansError
from training.fakes.background import with_black_background
from training.fakes.base import Fake, Generator, create
from training.fakes.orders import Journal, Order, Outcome, Store, orders
from training.fakes.quality.report import describe
from training.fakes.visibility import is_visible
from training.people import remember_people, require_strangers
from training.runs import DatasetPaths, claim, dataset_paths

JOURNAL = "journal.jsonl"


def produce(config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    """Make the fakes of a data set; those that are there already are kept.

    Generators see authentic scans of the training side only. A fake stands on the side of the
    scan that it was made from. Beside the fakes of each generator lies what they are worth (see
    ``training.fakes.quality``).

    Raises:
        StageMissingError: The data set is not prepared.
        TooFewScansError: There is no authentic scan to learn from.
        StaleRunError: Fakes of other settings lie there.
        LearnedFromError: A generator learned from somebody who stands on another side by now.
    """
    if not paths.scans_index.exists():
        raise StageMissingError(f"python -m training prepare --dataset {config.name}")
    scans = read_index(paths.scans_index)
    originals = [s for s in scans if s.label is Label.REAL]
    if not on_side(originals, "train"):
        raise TooFewScansError("There is no authentic scan on the training side.")
    everything = list(scans)
    for fakes in config.fakes:
        folder = paths.generator_dir(fakes.folder_name)
        claim(folder, config.seed, config.sides, fakes)
        require_strangers(folder, originals)
        index = paths.fakes_index(fakes.folder_name)
        made = _fill(fakes, originals, Store(folder), _journal(folder / JOURNAL, index))
        check_no_leak([*scans, *made])
        write_index(index, made)
        describe(folder, made, originals)
        everything += made
    return everything


def read_dataset(config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    """Return every scan and fake of a data set.

    Raises:
        StageMissingError: A stage before has not run.
        LeakError: A patient or an origin stands on two sides.
    """
    indexes = [paths.scans_index, *(paths.fakes_index(f.folder_name) for f in config.fakes)]
    for index in indexes:
        if not index.exists():
            stage = "prepare" if index == paths.scans_index else "fakes"
            raise StageMissingError(f"python -m training {stage} --dataset {config.name}")
    scans = [scan for index in indexes for scan in read_index(index)]
    check_no_leak(scans)
    return scans


def read_companions(names: Sequence[str], runs_dir: Path) -> list[Scan]:
    """Return what other data sets have on their training sides, on the side ``companion`` here.

    Raises:
        StageMissingError: A stage before has not run for one of them.
        LeakError: A patient or an origin stands on two sides of one.
    """
    found: list[Scan] = []
    for name in names:
        config = load_dataset_config(name)
        found += as_companions(read_dataset(config, dataset_paths(runs_dir, config.name)))
    return found


def as_companions(scans: Sequence[Scan]) -> list[Scan]:
    """Return the training side of a data set as another one's companions."""
    return [replace(scan, side=COMPANION) for scan in on_side(scans, "train")]


def _journal(path: Path, index: Path) -> Journal:
    """Open a journal; where there is none yet, an index that was written without one tells."""
    listed: list[Scan] = []
    if not path.exists() and index.exists():
        with suppress(ManifestError):  # a file that it lists is lost: everything is made again
            listed = read_index(index)
    return Journal(path, listed)


def _fill(
    fakes: FakesConfig, originals: Sequence[Scan], store: Store, journal: Journal
) -> list[Scan]:
    """Make what is missing of one generator's fakes; return the rows of all of them."""
    generator = create(fakes.generator, fakes.arguments)
    wanted = list(orders(fakes, originals, edits=generator.edits_originals))
    if not all(store.holds(journal.find(order.name)) for order in wanted):
        training = [s.path for s in on_side(originals, "train")]
        remember_people(store.folder, originals)
        generator.fit(training, store.folder, seed=fakes.seed)
        with tqdm(total=len(wanted), desc=fakes.folder_name, unit="fake") as bar:
            for batch in _batches(wanted, generator.together):
                if not all(store.holds(journal.find(order.name)) for order in batch):
                    _make(batch, generator, store, journal)
                bar.update(len(batch))
    outcomes = [(order, journal.find(order.name)) for order in wanted]
    made = [
        store.row(order, outcome, fakes.generator, drawn_side=generator.drawn_side)
        for order, outcome in outcomes
        if outcome is not None and outcome.made
    ]
    sides = ("train",) if fakes.teaches_only else SIDES
    return [f for f in made if f.side in sides and is_visible(f, fakes.least_change)]


def _batches(wanted: Sequence[Order], size: int) -> list[Sequence[Order]]:
    """Divide orders; the same way after a stop, since a batch's rounding depends on its members."""
    return [wanted[start : start + size] for start in range(0, len(wanted), size)]


def _make(batch: Sequence[Order], generator: Generator, store: Store, journal: Journal) -> None:
    """Make a batch of fakes, and write down each that was missing."""
    made: list[Fake | None]
    if generator.edits_originals:
        made = [_edit(order, generator) for order in batch]
    else:
        sampled = generator.sample([order.seed for order in batch])
        made = [Fake(grey=with_black_background(grey)) for grey in sampled]
    for order, fake in zip(batch, made, strict=True):
        if not store.holds(journal.find(order.name)):
            journal.add(_written(fake, order.name, store))


def _edit(order: Order, generator: Generator) -> Fake | None:
    if order.original is None:
        raise ValueError(f"{order.name} is an edit of nothing")
    return generator.make(read_grey(order.original.path), seed=order.seed)


def _written(fake: Fake | None, name: str, store: Store) -> Outcome:
    if fake is None:
        return Outcome(name=name, made=False)
    if fake.mask is not None:
        write_grey(store.mask(name), fake.mask.astype(np.float32))
    write_grey(store.image(name), fake.grey)
    return Outcome(
        name=name,
        masked=fake.mask is not None,
        tamper=fake.tamper,
        center=fake.center,
        drawn_side=fake.drawn_side,
    )
