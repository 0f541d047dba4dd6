"""What a data set must not have: one image on two sides, and classes told apart by anything else.

Sides by patient and by origin are checked in ``training.data.splits``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from app.detection.labels import Label
from training.config import SystemConfig
from training.data.dataset import Example, PairDataset, Sampling, ScanPool
from training.data.duplicates import Fingerprint, strangers_alike
from training.data.epochs import EpochDataset, Round
from training.data.manifest import Scan, on_side
from training.data.probe import (
    TOGETHER,
    Finding,
    Value,
    file_columns,
    image_columns,
    probe,
    without,
)
from training.data.raw import RawScan
from training.data.selection import scans_for
from training.data.splits import COMPANION
from training.errors import DuplicateScansError, ShortcutError
from training.seeding import generator_for

MOST_FILES = 400
"""Files of each class that the headers are read of."""
MOST_EXAMPLES = 400
"""Training examples that the probe looks at, half of them fakes."""


def require_one_image_a_patient(
    scans: Sequence[Scan], names: Sequence[str], fingerprints: Sequence[Fingerprint]
) -> None:
    """Make sure that no image stands for two patients, whatever sides they are on.

    Two rows on one side are refused too: another seed, or another scan in the manifest, would part
    them.

    Args:
        scans: With patient and origin.
        names: What messages call them.
        fingerprints: Of each scan.

    Raises:
        DuplicateScansError: Two scans of different patients show the same image.
    """
    pairs = strangers_alike(scans, fingerprints)
    if pairs:
        worst = sorted(pairs, key=lambda pair: -pair.likeness)
        raise DuplicateScansError([(names[p.first], names[p.second], p.likeness) for p in worst])


def require_parity(raws: Sequence[RawScan], *, accepted: Collection[str] = ()) -> list[Finding]:
    """Make sure that the files of both classes are of one kind, where brought fakes train.

    What a decoder gives back still shows how a file was compressed and scaled. Looked at are all
    files of the sources that train; fakes that never do teach no shortcut.

    Args:
        raws: With their sides.
        accepted: Columns that are no reason to refuse.

    Returns:
        What each column tells; nothing where there is only one class.

    Raises:
        ShortcutError: The files of the classes differ.
    """
    trained = {(r.scan.label, r.scan.source) for r in raws if r.scan.side == "train"}
    by_label = {
        label: [r for r in raws if r.scan.label is label and (label, r.scan.source) in trained]
        for label in Label
    }
    if not all(by_label.values()):
        return []
    chosen = [raw for group in by_label.values() for raw in _some(group, MOST_FILES)]
    findings = _measured(
        [file_columns(raw.file) for raw in chosen],
        [raw.scan.label is Label.FAKE for raw in chosen],
        [raw.scan.person for raw in chosen],
        accepted,
    )
    _refuse(
        "The files",
        findings,
        "Bring both classes in one format, size and compression, or say that you know with "
        "--accept-shortcut and the column.",
    )
    return findings


def require_no_shortcut(
    config: SystemConfig, scans: Sequence[Scan], *, accepted: Collection[str] = ()
) -> list[Finding]:
    """Make sure that what a system learns from does not give the class away.

    Looked at is what the network is fed: crops, varied by the augmentation, in the shares in which
    training draws the generators. A figure that the augmentation evens out is no shortcut.

    Args:
        config: Of the system.
        scans: The whole data set, and the system's companions, which are probed by themselves.
        accepted: Columns that are no reason to refuse.

    Returns:
        What each column tells; nothing for a system that learns something other than forgery.

    Raises:
        ShortcutError: A column, or all of them together, tell the classes apart.
        TooFewScansError: The training side lacks a class.
    """
    if config.diagnosis is not None:
        return []
    chosen = scans_for(config, scans)
    findings = _probed(config, on_side(chosen, "train"), config.dataset, accepted)
    if beside := on_side(chosen, COMPANION):
        # By themselves: among other images, a shortcut of either would not stand out.
        findings += _probed(config, beside, ", ".join(config.companions), accepted)
    return findings


def _probed(
    config: SystemConfig, training: Sequence[Scan], name: str, accepted: Collection[str]
) -> list[Finding]:
    rows, is_fake, people = [], [], []
    for person, example in _examples(config, training):
        rows.append(image_columns(_grey_of(example, config)))
        is_fake.append(bool(example["label"] > 0.5))
        people.append(person)
    findings = _measured(rows, is_fake, people, accepted)
    _refuse(
        f"The training side of {name}, as {config.name} is fed with it",
        findings,
        "Make the fakes by the same pipe as the authentic scans, strengthen the augmentation, or "
        "say that you know with --accept-shortcut and the column.",
    )
    return findings


def _measured(
    rows: Sequence[Mapping[str, Value]],
    is_fake: Sequence[bool],
    people: Sequence[str],
    accepted: Collection[str],
) -> list[Finding]:
    """Return what the columns tell that nobody has accepted; accepted ones help none else."""
    findings = probe(without(rows, accepted), is_fake, people)
    return [finding for finding in findings if finding.column not in accepted]


def _refuse(where: str, findings: Sequence[Finding], remedy: str) -> None:
    shortcuts = [finding for finding in findings if finding.is_shortcut]
    single = [finding for finding in shortcuts if finding.column != TOGETHER]
    if not shortcuts:
        return
    if not single:  # no column by itself: the nearest to it is named as well
        rest = [f for f in findings if f.auc is not None and f.column != TOGETHER]
        single = [*shortcuts, max(rest, key=lambda finding: finding.auc or 0.0)]
    raise ShortcutError(where, [str(finding) for finding in single], remedy)


def _some(raws: Sequence[RawScan], most: int) -> list[RawScan]:
    order = generator_for("parity", len(raws)).permutation(len(raws))[:most]
    return [raws[i] for i in sorted(order)]


def _as_many_of_each(scans: Sequence[Scan]) -> list[Scan]:
    chosen: list[Scan] = []
    for label in Label:
        group = [scan for scan in scans if scan.label is label]
        order = generator_for("probe", label.name, len(group)).permutation(len(group))
        chosen += [group[i] for i in sorted(order[: MOST_EXAMPLES // len(Label)])]
    return chosen


class _WatchedPool(ScanPool):
    """A pool that remembers which scan an example was cut from, to keep patients together."""

    def __init__(self, scans: Sequence[Scan], image_size: int) -> None:
        super().__init__(scans, image_size)
        self.asked_for: list[str] = []

    def square(self, path: Path | str) -> NDArray[np.float32]:
        self.asked_for.append(str(path))
        return super().square(path)


def _examples(config: SystemConfig, training: Sequence[Scan]) -> Iterator[tuple[str, Example]]:
    """Return examples of the last phase, which sees most of a scan, each with its person."""
    if config.sampling == "epoch":  # there the rarer class would be too few of so many
        training = _as_many_of_each(training)
    people = {str(scan.path): scan.person for scan in training}
    pool = _WatchedPool(training, config.image_size)
    examples, count = _fed_from(pool, config)
    for index in range(count):
        pool.asked_for.clear()
        example = examples[index]
        yield people[pool.asked_for[0]], example  # the mask, if any, is asked for after the scan


def _fed_from(pool: ScanPool, config: SystemConfig) -> tuple[Dataset[Example], int]:
    if config.sampling == "pairs":
        sampling = Sampling(
            seed=(config.seed,),
            local_share=config.local_share,
            source_balance=config.source_balance,
            augmentation=config.augmentation,
        )
        return PairDataset(pool, config.preprocessing, config.phases[-1], sampling), MOST_EXAMPLES
    turn = Round(seed=(config.seed,), limit=MOST_EXAMPLES)
    whole = EpochDataset(pool, config.preprocessing, turn, config.augmentation)
    return whole, len(whole)


def _grey_of(example: Example, config: SystemConfig) -> NDArray[np.float32]:
    """Return the grey values of an example, undoing the normalisation of the first channel."""
    channel = example["image"][0].numpy()
    grey = channel * config.preprocessing.std[0] + config.preprocessing.mean[0]
    return np.asarray(grey, dtype=np.float32)
