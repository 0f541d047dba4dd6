"""What an evaluation judges: the scans of a manifest, of a folder, or of a prepared data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.config import load_dataset_config
from training.data.manifest import Scan, on_side, read_manifest
from training.data.rows import require_each_once
from training.data.sources.base import read_source
from training.errors import OtherModalityError, SourceError, TooFewScansError
from training.evaluation.controls import sides_of
from training.fakes.produce import read_dataset
from training.runs import dataset_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """Scans to be judged.

    Attributes:
        scans: Authentic ones and fakes.
        index: A file, there or not, in whose folder they lie: paths are given relative to it.
        control_sides: Resolutions at which generators of whole images are known to have worked,
            in pixels.
    """

    scans: Sequence[Scan]
    index: Path
    control_sides: Sequence[int] = ()


def of_manifest(manifest: Path, modality: str) -> Subjects:
    """Return the scans of a CSV.

    Raises:
        ManifestError: It cannot be used, or an image stands there twice and would count twice.
    """
    scans = read_manifest(manifest, modalities=[modality])
    require_each_once(manifest, [(scan.path.name, scan.path) for scan in scans])
    return Subjects(scans=scans, index=manifest)


def of_folder(folder: Path) -> Subjects:
    """Return what lies in ``real/`` and ``fake/`` below a folder.

    How it has to lie stands in ``training.data.sources.folder``.

    Raises:
        SourceError: There is nothing, or a volume, which has to be cut into slices first.
    """
    raws = read_source("folder", folder)
    if volumes := [raw.name for raw in raws if raw.slice_index is not None]:
        raise SourceError(
            f"folder: {volumes[0]} is a slice of a volume. Let `python -m training prepare "
            "--source folder` cut the slices, and evaluate the data set that it makes."
        )
    return Subjects(scans=[raw.scan for raw in raws], index=folder / "index")


def of_dataset(name: str, side: str, modality: str, runs_dir: Path) -> Subjects:
    """Return one side of a prepared data set, with its fakes.

    Raises:
        OtherModalityError: The weights judge something else.
        StageMissingError: It is not prepared, or its fakes are not made.
        TooFewScansError: Nothing stands on that side.
    """
    config = load_dataset_config(name)
    if config.modality != modality:
        raise OtherModalityError(config.name, config.modality, modality)
    paths = dataset_paths(runs_dir, config.name)
    scans = on_side(read_dataset(config, paths), side)
    if not scans:
        raise TooFewScansError(f"{config.name} has no scan on the {side} side.")
    return Subjects(scans=scans, index=paths.scans_index, control_sides=sides_of(scans))
