"""Nodules injected into and removed from lung CT by CT-GAN, the attack itself.

Mirsky et al., *CT-GAN: Malicious Tampering of 3D Medical Imagery using Deep Learning*, USENIX
Security 2019; the set is called "Medical Deepfakes: Lung Cancer" (Kaggle) and "Deepfakes: Medical
Image Tamper Detection" (UCI). Both releases are understood::

    labels_exp1.csv                     type,uuid,slice,x,y
    labels_exp2.csv
    Experiment 1 - Blind/<uuid>/<slice>.dcm   (Kaggle: CT_Scans/EXP1_blind/…)
    Experiment 2 - Open/<uuid>/<slice>.dcm    (Kaggle: CT_Scans/EXP2_open/…)

Types: FM, a nodule was injected; FB, one was removed; TM and TB, the place is authentic. A scan is
a patient. The scans come from LIDC-IDRI, so do not train on ``lidc`` or ``luna16`` and test here:
some of the patients are the same.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom

from app.detection.labels import Label
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, register
from training.data.volumes import dicom_series
from training.errors import ManifestError, SourceError

TAMPERED = {"FM": "injection", "FB": "removal"}
AUTHENTIC = ("TM", "TB")
REACH_MM = 24.0
"""How far a tampered place may reach: half of CT-GAN's 32 mm cube, and its blending."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A row of a label file."""

    kind: str
    slice_number: int
    x: str
    y: str


@register("ctgan", licence="Mirsky 2019, none stated; base scans LIDC-IDRI, CC BY 3.0")
def read(root: Path, _options: SourceOptions) -> Iterator[RawScan]:
    """Return the tampered slices, and authentic ones out of the reach of any tampering."""
    for number in (1, 2):
        labels = next(iter(_below(root, rf"labels_exp{number}\.csv")), None)
        if labels is None:
            continue
        experiment = next(iter(_below(root, rf"exp(eriment )?{number}\b.*|exp{number}_.*")), None)
        if experiment is None:
            raise SourceError(f"ctgan: {labels} is there, not the scans of experiment {number}.")
        for uuid, places in _read_labels(labels).items():
            yield from _of_patient(experiment / uuid, places, root)


def _below(root: Path, pattern: str) -> list[Path]:
    """Return what is called so in the folder or up to two folders below it."""
    candidates = [*root.glob("*"), *root.glob("*/*"), *root.glob("*/*/*")]
    return [p for p in candidates if re.fullmatch(pattern, p.name, flags=re.IGNORECASE)]


def _read_labels(path: Path) -> dict[str, list[_Place]]:
    places: dict[str, list[_Place]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        for column in ("type", "uuid", "slice", "x", "y"):
            if column not in (reader.fieldnames or ()):
                raise ManifestError(path, f"the column {column!r} is missing")
        for row_number, row in enumerate(reader, start=2):
            try:
                place = _Place(row["type"].strip(), int(row["slice"]), row["x"], row["y"])
            except (TypeError, ValueError) as error:
                raise ManifestError(path, f"cannot be read ({error})", row=row_number) from error
            if place.kind not in (*TAMPERED, *AUTHENTIC):
                raise ManifestError(path, f"type {place.kind!r} is unknown", row=row_number)
            places.setdefault(row["uuid"].strip(), []).append(place)
    return places


def _of_patient(folder: Path, places: list[_Place], root: Path) -> Iterator[RawScan]:
    slices = _slices(folder)
    tampered = {p.slice_number: p for p in reversed(places) if p.kind in TAMPERED}
    reach = _reach_in_slices(slices) if tampered else 0
    authentic = {
        p.slice_number: p
        for p in places
        if p.kind in AUTHENTIC and all(abs(p.slice_number - t) > reach for t in tampered)
    }
    for number, place in sorted((tampered | authentic).items()):
        if number not in slices:
            raise SourceError(f"ctgan: there is no slice {number} in {folder}.")
        yield RawScan(
            scan=_row(slices[number], folder.name, place),
            name=slices[number].relative_to(root).as_posix(),
        )


def _slices(folder: Path) -> dict[int, Path]:
    """Return the slices by their number, which is that in the file name or the place from below."""
    files = list(folder.glob("*.dcm"))
    if not files:
        raise SourceError(f"ctgan: the labels name {folder}, there is no DICOM file in it.")
    if all(file.stem.isdecimal() for file in files):
        return {int(file.stem): file for file in files}
    return {i: file for s in dicom_series(files) for i, file in enumerate(s.slices)}


def _reach_in_slices(slices: dict[int, Path]) -> int:
    header = pydicom.dcmread(
        next(iter(slices.values())), stop_before_pixels=True, specific_tags=["SliceThickness"]
    )
    thickness_mm = float(header.get("SliceThickness") or 1.0)
    return round(REACH_MM / max(thickness_mm, 0.1))


def _row(path: Path, uuid: str, place: _Place) -> Scan:
    is_fake = place.kind in TAMPERED
    return Scan(
        path=path,
        label=Label.FAKE if is_fake else Label.REAL,
        source="ctgan",
        patient=uuid,
        generator="ctgan" if is_fake else "",
        tamper=TAMPERED.get(place.kind, ""),
        x=place.x.strip() if is_fake else "",
        y=place.y.strip() if is_fake else "",
    )
