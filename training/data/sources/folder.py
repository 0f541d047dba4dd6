"""Scans of one's own in two folders: ``real/`` and ``fake/``.

::

    real/p17_left.png                  pictures, DICOM files, .nii, .nii.gz and .mhd volumes
    real/p18/*.dcm, real/p19/IM0001    DICOM files of one series are a stack
    fake/stylegan/p17_left.png         a folder below fake/ names the generator

The patient of a picture is its name up to the first ``_``, ``-``, blank or dot, so that
``p17_left.png`` and ``p17_right.png`` are one person. Where all names of a class begin alike
(``IMG_001.png`` …) each file stands for a person of its own. DICOM files say themselves who the
patient is; a pseudonym of it is kept.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from app.detection.labels import Label
from training.data.manifest import LABEL_NAMES, Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, files_below, register, slices_of
from training.data.volumes import VOLUME_ENDINGS, dicom_series, is_volume, volume_stem
from training.errors import SourceError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM = (".dcm", ".dicom", ".ima")
SEPARATORS = re.compile(r"[_\-. ]")


@register("folder", licence="as its owner says")
def read(root: Path, options: SourceOptions) -> Iterator[RawScan]:
    """Return what lies in the two folders; the source is named after the folder itself."""
    folders = {label: root / name for label, name in LABEL_NAMES.items()}
    if not any(folder.is_dir() for folder in folders.values()):
        raise SourceError(f"folder: there is neither real/ nor fake/ in {root}.")
    for label, folder in folders.items():
        files = files_below(folder, *PICTURES, *VOLUME_ENDINGS)
        patients = _patients_by_name(files)
        for path in files:
            row = replace(_row(path, root, label), patient=patients[path])
            if is_volume(path):
                yield from slices_of(path, root, row, options.every_slice)
            else:
                yield _whole(row, root)
        named = files_below(folder, *DICOM)
        found = dicom_series([*named, *_without_ending(folder)])
        for series in found:
            for path in series.middle(options.every_slice):
                yield _whole(replace(_row(path, root, label), patient=series.patient), root)
        for path in sorted(set(named) - {path for series in found for path in series.slices}):
            yield _whole(_row(path, root, label), root)  # no DICOM file: decoding it will say so


def _without_ending(folder: Path) -> list[Path]:
    """Return files as archives name them, IM0001 or 1.2.840.7; not all of them need be DICOM."""
    return [p for p in files_below(folder, "") if not p.suffix or p.suffix[1:].isdecimal()]


def _whole(row: Scan, root: Path) -> RawScan:
    return RawScan(scan=row, name=row.path.relative_to(root).as_posix())


def _row(path: Path, root: Path, label: Label) -> Scan:
    source = root.resolve().name
    inner = path.relative_to(root).parts[1:-1]
    is_fake = label is Label.FAKE
    return Scan(
        path=path,
        label=label,
        source=source,
        patient="",
        generator=(inner[0] if inner else source) if is_fake else "",
    )


def _patients_by_name(files: Sequence[Path]) -> dict[Path, str]:
    stems = {path: volume_stem(path) if is_volume(path) else path.stem for path in files}
    beginnings = {path: SEPARATORS.split(stem)[0] or stem for path, stem in stems.items()}
    return stems if len(files) > 1 and len(set(beginnings.values())) == 1 else beginnings
