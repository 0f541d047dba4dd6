"""The first stage: decode every scan as the server would, and put each patient on one side."""

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.detection.labels import Label
from app.detection.spec import ModalitySpec
from app.errors import UploadError
from training.config import DatasetConfig
from training.data.decoded import Decoded
from training.data.duplicates import fingerprint
from training.data.images import at_most_as_long, read_grey, write_grey
from training.data.leakage import require_one_image_a_patient, require_parity
from training.data.manifest import Scan, read_manifest, write_index
from training.data.modalities import trainable_modality
from training.data.raw import RawScan
from training.data.rows import require_usable_rows
from training.data.selection import thinned
from training.data.sources.base import SourceOptions, read_source
from training.data.splits import assign_sides, check_no_leak
from training.data.volumes import volume_stem
from training.errors import ManifestError, SourceError, TooFewScansError
from training.runs import DatasetPaths, claim

UNREADABLE_FILE = "unreadable.csv"
DECODED_FILE = "decoded.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What is brought besides a manifest, and what is put up with.

    Attributes:
        sources: Names of public sets, each with the folder that it was unpacked into.
        source_options: What is taken of each.
        skip_unreadable: Whether scans that cannot be decoded are left out and listed, where
            otherwise the first one is an error.
        accepted: Columns that may tell the files of the classes apart.
    """

    sources: Sequence[tuple[str, Path]] = ()
    source_options: SourceOptions = field(default_factory=SourceOptions)
    skip_unreadable: bool = False
    accepted: Collection[str] = ()


def prepare(
    manifest: Path | None,
    config: DatasetConfig,
    paths: DatasetPaths,
    options: PrepareOptions | None = None,
) -> list[Scan]:
    """Decode scans into PNG and write their index.

    Both classes go through the decoder that serves, and are stored in one format at their own
    size. Scans that are there already are not decoded again.

    Args:
        manifest: A CSV of scans; None where public sets are all there is.
        config: Of the data set.
        paths: Where it is kept.
        options: Public sets, and what is put up with.

    Raises:
        ManifestError: A row cannot be used or its image cannot be decoded.
        SourceError: A public set is unknown, or not laid out as it should be.
        LeakError: A patient or a scan would stand on two sides.
        DuplicateScansError: Two patients have the same image.
        ShortcutError: The files of brought fakes differ from those of authentic scans.
        TooFewScansError: There is no authentic scan, or nothing can be read.
        StaleRunError: What lies there was stored with another longest side.
        OtherFileError: A scan was prepared from another file of the same name.
    """
    options = options or PrepareOptions()
    if manifest is None and not options.sources:
        raise SourceError("There is nothing to prepare: name a manifest or a source.")
    spec = trainable_modality(config.modality)
    raws = list(_brought(manifest, config.takes or [config.modality], options))
    where = manifest or options.sources[0][1]
    require_usable_rows(where, raws)
    if config.longest_side is not None:
        _require_no_places(where, raws)
        claim(paths.scans_dir, "longest side", config.longest_side)
    sided = assign_sides([raw.scan for raw in raws], config)
    check_no_leak(sided)
    raws = [replace(raw, scan=scan) for raw, scan in zip(raws, sided, strict=True)]
    if config.max_scans is not None:
        left = {s.path for s in thinned(sided, config.max_scans, seed=config.seed)}
        raws = [raw for raw in raws if raw.scan.path in left]
    _check_authentic(sided, config)
    require_parity(raws, accepted=options.accepted)
    reader = partial(_read, spec=spec, longest_side=config.longest_side)
    kept, prepared = _decode(where, raws, reader, paths, options)
    fingerprints = [fingerprint(read_grey(scan.path)) for scan in prepared]
    require_one_image_a_patient(prepared, [raw.name for raw in kept], fingerprints)
    write_index(paths.scans_index, prepared)
    return prepared


def _brought(
    manifest: Path | None, modalities: Sequence[str], options: PrepareOptions
) -> Iterator[RawScan]:
    """Return the scans of the manifest, then those of the public sets."""
    if manifest is not None:
        for scan in read_manifest(manifest, modalities=modalities):
            yield RawScan(scan=scan, name=_below(manifest, scan))
    for name, root in options.sources:
        yield from read_source(name, root, options.source_options)


def _require_no_places(where: Path, raws: Sequence[RawScan]) -> None:
    """Make sure that no row names pixels, which would be others once its image is scaled down."""
    for raw in raws:
        if raw.scan.x or raw.scan.y:
            raise ManifestError(
                where,
                f"{raw.name}: x and y are pixels of the image as it is, but longest_side may scale "
                "it down: leave one of them out",
            )


def _check_authentic(scans: Sequence[Scan], config: DatasetConfig) -> None:
    if config.sides.train and not any(s.side == "train" and s.label is Label.REAL for s in scans):
        raise TooFewScansError(
            f"{config.name}: there is no authentic scan on the training side. Generators and "
            "detector learn from them: bring rows with the label real."
        )


def _decode(
    where: Path,
    raws: Sequence[RawScan],
    reader: Callable[[RawScan], NDArray[np.float32]],
    paths: DatasetPaths,
    options: PrepareOptions,
) -> tuple[list[RawScan], list[Scan]]:
    """Store what is not there yet; return the scans that could be read, before and after."""
    kept: list[RawScan] = []
    prepared: list[Scan] = []
    unreadable: list[tuple[str, str]] = []
    decoded = Decoded(paths.root / DECODED_FILE)
    for raw in tqdm(raws, desc="decoding", unit="scan"):
        name = f"{raw.scan.source}/{_stored_name(raw)}.png"
        image = paths.scans_dir / name
        decoded.remember(raw, name, is_stored=image.exists())
        try:
            if not image.exists():
                write_grey(image, reader(raw))
        except (UploadError, SourceError) as error:
            if not options.skip_unreadable:
                raise ManifestError(where, f"{raw.name}: {error}") from error
            unreadable.append((raw.name, str(error)))
            continue
        kept.append(raw)
        prepared.append(replace(raw.scan, path=image))
    _list_unreadable(paths.root / UNREADABLE_FILE, unreadable)
    if not prepared:
        raise TooFewScansError(f"{where}: no scan could be read; see {UNREADABLE_FILE}.")
    images = {str(r.scan.path.resolve()): str(s.path) for r, s in zip(kept, prepared, strict=True)}
    return kept, [replace(s, origin=images.get(s.origin, "")) for s in prepared]


def _read(raw: RawScan, *, spec: ModalitySpec, longest_side: int | None) -> NDArray[np.float32]:
    grey = raw.read(spec)
    return grey if longest_side is None else at_most_as_long(grey, longest_side)


def _list_unreadable(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write which scans were left out and why; no file where none was."""
    path.unlink(missing_ok=True)
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("name", "problem"), *rows])


def _stored_name(raw: RawScan) -> str:
    """Return a file name that depends on where the scan lies below the manifest."""
    stem = raw.scan.path.stem
    if raw.slice_index is not None:
        stem = f"{volume_stem(raw.file)}-{stem}"
    return f"{stem}-{sha256(raw.name.encode()).hexdigest()[:8]}"


def _below(manifest: Path, scan: Scan) -> str:
    """Return a scan's path as the manifest says it; an absolute one stays absolute."""
    if scan.path.is_relative_to(manifest.parent):
        return scan.path.relative_to(manifest.parent).as_posix()
    return scan.path.as_posix()


def unreadable_in(paths: DatasetPaths) -> list[tuple[str, str]]:
    """Return the names of the scans that were left out, each with the reason."""
    path = paths.root / UNREADABLE_FILE
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["name"], row["problem"]) for row in csv.DictReader(file)]
