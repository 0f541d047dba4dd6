"""Tables of scans: the manifest that a developer brings and the index that the stages share."""

import csv
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from app.detection.labels import Label
from training.errors import ManifestError

REQUIRED_COLUMNS = ("path", "label", "source", "patient")
LABELS = {"real": Label.REAL, "fake": Label.FAKE, "0": Label.REAL, "1": Label.FAKE}
LABEL_NAMES = {Label.REAL: "real", Label.FAKE: "fake"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A row of a manifest or of an index.

    Attributes:
        path: Absolute path of the image; in the file, relative to it.
        source: Data set it comes from; of a fake, that of its authentic origin.
        patient: Unique within the source; empty where it is not known.
        side: ``train``, ``validation`` or ``test``; empty before ``prepare``.
        generator: What made the fake; empty for authentic scans.
        seed: Of a fake made here, otherwise empty.
        origin: Path of the authentic scan that was edited, as in that scan's row, or empty.
        mask: Path of the mask of a local edit (255 inside), or empty.
        tamper: ``injection``, ``removal`` … or empty.
        x: Column of the edit's centre, in pixels, or empty.
        y: Row of the edit's centre, in pixels, or empty.
        licence: As known.
        grade: Of the finding, such as Kellgren and Lawrence's of a knee, or empty.
        drawn_side: Of a fake that is synthetic all over: longer side in pixels at which a network
            drew it, before it was scaled, or of the small scan from which it drew; or empty.
    """

    path: Path
    label: Label
    source: str
    patient: str
    side: str = ""
    generator: str = ""
    seed: str = ""
    origin: str = ""
    mask: str = ""
    tamper: str = ""
    x: str = ""
    y: str = ""
    licence: str = ""
    grade: str = ""
    drawn_side: str = ""

    @property
    def person(self) -> str:
        """The patient, unique over all sources; a scan without a patient stands for itself."""
        return f"{self.source}/{self.patient}" if self.patient else f"path/{self.path}"


def read_manifest(path: Path, *, modalities: Collection[str] = ()) -> list[Scan]:
    """Read a CSV with at least the columns ``path,label,source,patient``.

    Args:
        path: The CSV; paths in it are relative to its folder. Those of origins and masks come
            back absolute.
        modalities: If given and the CSV has a column ``modality``, other rows are passed over.

    Raises:
        ManifestError: A column is missing or stands twice, a label is neither real nor fake, a
            file is not there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            numbered = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ManifestError(path, f"cannot be read ({error}); save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise ManifestError(path, f"cannot be read ({error})") from error
    _check_columns(path, columns)
    if modalities and "modality" in columns:
        numbered = [(n, r) for n, r in numbered if (r["modality"] or "").strip() in modalities]
    if not numbered:
        raise ManifestError(
            path, "there is no scan in it" + (f" of {', '.join(modalities)}" if modalities else "")
        )
    return [_scan_of(path, number, row) for number, row in numbered]


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if missing := [column for column in REQUIRED_COLUMNS if column not in columns]:
        raise ManifestError(
            path,
            f"the column {missing[0]!r} is missing. The first line has to name the columns, "
            f"separated by commas: {', '.join(REQUIRED_COLUMNS)} and others; it is {columns}",
        )
    if twice := [column for column in columns if columns.count(column) > 1]:
        raise ManifestError(path, f"the column {twice[0]!r} stands twice; leave one out")


def _scan_of(manifest: Path, number: int, row: dict[str, Any]) -> Scan:
    if any(row[column] is None for column in REQUIRED_COLUMNS):
        raise ManifestError(manifest, "it has fewer fields than the first line", row=number)
    if None in row:
        problem = "it has more fields than the first line; put quotes around what holds a comma"
        raise ManifestError(manifest, problem, row=number)
    row = {name: value if name == "path" else (value or "").strip() for name, value in row.items()}
    label = LABELS.get(row["label"].lower())
    if label is None:
        raise ManifestError(manifest, f"label {row['label']!r} is not real or fake", row=number)
    image = manifest.parent / row["path"]
    if not image.is_file():
        raise ManifestError(manifest, f"there is no file {row['path']!r}", row=number)
    optional = {f.name for f in fields(Scan)} - set(REQUIRED_COLUMNS)
    known = {name: row[name] for name in optional if name in row}
    known |= {name: _absolute(known.get(name, ""), manifest.parent) for name in ("origin", "mask")}
    if label is Label.FAKE and not known.get("generator"):
        known["generator"] = row["source"]
    return Scan(path=image, label=label, source=row["source"], patient=row["patient"], **known)


def write_index(path: Path, scans: Iterable[Scan]) -> None:
    """Write scans as a CSV that ``read_manifest`` reads, with paths relative to its folder."""
    names = [f.name for f in fields(Scan)]
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for scan in scans:
            row = asdict(scan) | {"label": LABEL_NAMES[scan.label]}
            for column in ("path", "origin", "mask"):
                row[column] = _relative(row[column], path.parent)
            writer.writerow(row)
    partial.replace(path)


def read_index(path: Path) -> list[Scan]:
    """Read what ``write_index`` wrote; every path comes back absolute."""
    return [replace(scan, path=scan.path.resolve()) for scan in read_manifest(path)]


def on_side(scans: Sequence[Scan], side: str, label: Label | None = None) -> list[Scan]:
    """Return the scans of one side, and of one label where it is given."""
    return [s for s in scans if s.side == side and (label is None or s.label is label)]


def _relative(path: Path | str, folder: Path) -> str:
    return os.path.relpath(Path(path).resolve(), folder.resolve()) if str(path) else ""


def _absolute(path: str, folder: Path) -> str:
    return str((folder / path).resolve()) if path else ""
