"""Which scans of a data set a system learns from and is judged on, and what it learns of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from app.detection.labels import Label
from training.config import DiagnosisConfig, SystemConfig
from training.data.manifest import Scan
from training.errors import TooFewScansError
from training.seeding import generator_for


def scans_for(config: SystemConfig, scans: Sequence[Scan]) -> list[Scan]:
    """Return a data set's scans as a system sees them, in training and in evaluation alike.

    Raises:
        TooFewScansError: None has an entry for the diagnosis.
    """
    chosen = list(scans)
    if config.diagnosis is not None:
        chosen = by_diagnosis(chosen, config.diagnosis)
    if config.max_scans is not None:
        chosen = thinned(chosen, config.max_scans, seed=config.seed)
    return chosen


def by_diagnosis(scans: Sequence[Scan], diagnosis: DiagnosisConfig) -> list[Scan]:
    """Return the authentic scans with an entry, labelled by it: FAKE stands for the finding.

    Raises:
        TooFewScansError: There is none.
    """
    entries = [
        (scan, getattr(scan, diagnosis.column)) for scan in scans if scan.label is Label.REAL
    ]
    labelled = [
        replace(scan, label=Label.FAKE, generator=diagnosis.column)
        if entry in diagnosis.positive
        else scan
        for scan, entry in entries
        if entry
    ]
    if not labelled:
        raise TooFewScansError(
            f"No scan has an entry in the column {diagnosis.column!r}. It has to be in the "
            "manifest that the data set was prepared from."
        )
    return labelled


def thinned(scans: Sequence[Scan], limit: int, *, seed: int) -> list[Scan]:
    """Return at most ``limit`` authentic scans of each side, and fakes of each generator on it.

    A fake is kept only with the authentic scan that it was made from. The same seed chooses the
    same scans; the order stays.
    """
    reals = _drawn([s for s in scans if s.label is Label.REAL], limit, seed)
    left = {str(scan.path.resolve()) for scan in reals}
    fakes = [s for s in scans if s.label is Label.FAKE and (not s.origin or s.origin in left)]
    kept = {s.path for s in reals} | {s.path for s in _drawn(fakes, limit, seed)}
    return [s for s in scans if s.path in kept]


def with_fewer_fakes(scans: Sequence[Scan], limit: int, *, seed: int) -> list[Scan]:
    """Return all authentic scans, and at most ``limit`` fakes of each generator on each side.

    The same seed chooses the same scans; the order stays.
    """
    kept = {s.path for s in _drawn([s for s in scans if s.label is Label.FAKE], limit, seed)}
    return [s for s in scans if s.label is Label.REAL or s.path in kept]


def _drawn(scans: Sequence[Scan], limit: int, seed: int) -> list[Scan]:
    groups: dict[tuple[str, str], list[Scan]] = defaultdict(list)
    for scan in scans:
        groups[scan.side, scan.generator].append(scan)
    return [
        group[i]
        for names, group in groups.items()
        for i in generator_for("thinned", seed, *names).permutation(len(group))[:limit]
    ]
