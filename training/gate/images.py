"""The images that a gate is fitted to and measured on, and how they are read."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.detection.decoding import decode_single
from app.detection.gate import thumbnail
from app.detection.labels import Label
from app.detection.spec import ModalitySpec
from app.errors import UploadError
from training.data.manifest import read_index
from training.errors import ManifestError, StageMissingError
from training.runs import DatasetPaths
from training.seeding import generator_for

SIDE_PIXELS = 160
"""Images are kept at this size, larger than the network reads, so that varying them costs little
sharpness."""
FOREIGN_COLUMNS = ("path", "modality", "source")
VALIDATION_SHARE, TEST_SHARE = 0.15, 0.15
LEAST_FOLDERS = 10
"""A kind of image with this many folders, such as photographs by what they show, is divided by
folder; others by image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateImage:
    """An image on disk.

    Attributes:
        is_right: Whether it is a scan of the modality.
        kind: Of a scan its source or generator, of another image what it shows.
        is_fake: Whether it is a fake of the modality.
        person: Whoever or whatever must not stand on two sides.
        side: ``train``, ``validation`` or ``test``.
        licence: As known.
    """

    path: Path
    is_right: bool
    kind: str
    person: str
    side: str
    is_fake: bool = False
    licence: str = ""


def right_images(datasets: Iterable[DatasetPaths]) -> list[GateImage]:
    """Return the prepared scans of a modality, and whatever fakes there are of them.

    Raises:
        StageMissingError: A data set is not prepared.
    """
    images: list[GateImage] = []
    for paths in datasets:
        if not paths.scans_index.exists():
            raise StageMissingError(f"python -m training prepare --dataset {paths.root.name}")
        for index in (paths.scans_index, *sorted(paths.root.glob("fakes/*/fakes.csv"))):
            images += [
                GateImage(
                    path=scan.path,
                    is_right=True,
                    kind=scan.generator or scan.source,
                    person=scan.person,
                    side=scan.side,
                    is_fake=scan.label is Label.FAKE,
                    licence=scan.licence,
                )
                for scan in read_index(index)
            ]
    return images


def foreign_images(manifest: Path, modality: str) -> list[GateImage]:
    """Return the images of a manifest that are no scans of the modality.

    Args:
        manifest: CSV with the columns ``path,modality,source``; paths relative to its folder.
        modality: Key of the modality whose rows are passed over.

    Raises:
        ManifestError: A column or a file is missing, or every row is of the modality.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(manifest, f"cannot be read ({error})") from error
    for column in FOREIGN_COLUMNS:
        if rows and column not in rows[0]:
            raise ManifestError(manifest, f"the column {column!r} is missing")
    rows = [row for row in rows if row["modality"] != modality]
    if not rows:
        raise ManifestError(manifest, f"there is no image in it that is not of {modality}")
    folders = {(row["modality"], Path(row["path"]).parent) for row in rows}
    folders_of = Counter(kind for kind, _ in folders)
    return [
        _foreign(row, manifest, number, by_folder=folders_of[row["modality"]] >= LEAST_FOLDERS)
        for number, row in enumerate(rows, start=2)
    ]


def _foreign(row: dict[str, str], manifest: Path, number: int, *, by_folder: bool) -> GateImage:
    path = manifest.parent / row["path"]
    if not path.is_file():
        raise ManifestError(manifest, f"there is no file {row['path']!r}", row=number)
    group = Path(row["path"]).parent.as_posix() if by_folder else row["path"]
    person = f"{row['source']}/{row.get('patient') or group}"
    chance = generator_for("gate side", person).random()
    if chance < TEST_SHARE:
        side = "test"
    else:
        side = "validation" if chance < TEST_SHARE + VALIDATION_SHARE else "train"
    return GateImage(
        path=path,
        is_right=False,
        kind=row["modality"],
        person=person,
        side=side,
        licence=row.get("licence") or "",
    )


def read_thumbnails(images: Sequence[GateImage], spec: ModalitySpec) -> NDArray[np.uint8]:
    """Decode images as the server would and make them small.

    Args:
        images: What to read.
        spec: The modality that they are sent as; gives the window for Hounsfield units.

    Returns:
        Grey values, uint8, shape ``[N, 160, 160]``.

    Raises:
        ManifestError: One cannot be decoded.
    """
    small = np.empty((len(images), SIDE_PIXELS, SIDE_PIXELS), np.uint8)
    for row, image in enumerate(tqdm(images, desc="reading", unit="image")):
        try:
            grey = decode_single(image.path.read_bytes(), spec).grey
        except UploadError as error:
            raise ManifestError(image.path, str(error)) from error
        small[row] = np.rint(thumbnail(grey, SIDE_PIXELS).numpy() * 255)
    return small
