"""Settled cases as labels: scans whose owners consented, written for ``training prepare``.

Left out is whatever is undecided, lacks the consent, or may show the patient's name in its pixels.
What is written names nobody: scans are named after a hash of their case, and the patient of a scan
is a hash of its owner's random id. An owner's scans thus stay together on one side of a data set,
and with them those of every owner who sent the same image.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from app.errors import ExportFolderError, NotFoundError
from app.records import ReviewCase, Settlement
from app.services.audit import AuditService
from app.storage.files import make_private_folder, write_atomically
from app.storage.images import ImageStore, Picture
from app.storage.reviews import ReviewStore, SettledCase

MANIFEST = "manifest.csv"
COLUMNS = ("path", "label", "source", "patient", "modality")
SOURCE = "veriscan_reviews"
PSEUDONYM_CHARACTERS = 16

UNDECIDED = "undecided"
WITHOUT_CONSENT = "without the owner's consent"
BURNED_IN_TEXT = "with text in the picture"
SCAN_GONE = "whose scan is deleted"
TWICE = "of an image that is there already"
CONTRADICTED = "of one image with two outcomes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLabels:
    """What was written, and what was not.

    Attributes:
        written: Scans by modality and label.
        left_out: Cases by the reason.
    """

    written: Mapping[tuple[str, str], int]
    left_out: Mapping[str, int]


@dataclass(slots=True)
class _Collected:
    """Cases by modality and hash of the picture, and what was left out so far."""

    by_image: dict[tuple[str, str], list[ReviewCase]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


class LabelService:
    """Writes labels out of the settled cases."""

    def __init__(self, store: ReviewStore, images: ImageStore, audit: AuditService) -> None:
        self._store = store
        self._images = images
        self._audit = audit

    def export(self, folder: Path) -> ExportedLabels:
        """Write ``<modality>/manifest.csv`` and its scans below a folder, for its owner alone.

        Args:
            folder: One that is empty or does not exist: labels that were taken back since the
                last time must not stay behind.

        Raises:
            ExportFolderError: There is something in it, or it cannot be written.
            StorageError: The database cannot be read.
        """
        _require_empty(folder)
        found = self._collected()
        patients = _patients(found.by_image.values())
        written: Counter[tuple[str, str]] = Counter()
        rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for (modality, _), cases in found.by_image.items():
            if len({case.outcome for case in cases}) > 1:
                found.left_out[CONTRADICTED] += len(cases)
                continue
            found.left_out[TWICE] += len(cases) - 1
            case, label = cases[0], str(cases[0].outcome)
            name = f"{_pseudonym(case.id)}.png"
            png = self._images.get(case.analysis_id, Picture.SCAN)
            _write(folder / modality / name, png)
            rows[modality].append((name, label, SOURCE, patients[case.owner_id], modality))
            written[modality, label] += 1
        for modality, lines in rows.items():
            _write(folder / modality / MANIFEST, _csv(lines))
        self._audit.record("labels.exported", actor=None, scans=sum(written.values()))
        return ExportedLabels(written=written, left_out=+found.left_out)

    def _collected(self) -> _Collected:
        found = _Collected()
        for item in self._store.settled():
            reason = _reason_against(item)
            if reason is None:
                try:
                    png = self._images.get(item.case.analysis_id, Picture.SCAN)
                except NotFoundError:
                    reason = SCAN_GONE
            if reason is not None:
                found.left_out[reason] += 1
                continue
            key = item.case.modality, sha256(png).hexdigest()
            found.by_image.setdefault(key, []).append(item.case)
        return found


def _reason_against(item: SettledCase) -> str | None:
    """Return why a case must not become a label, or None."""
    if not item.case.may_be_label:
        return WITHOUT_CONSENT
    if item.case.outcome not in (Settlement.REAL, Settlement.FAKE):
        return UNDECIDED
    return BURNED_IN_TEXT if item.burned_in_text else None


def _patients(images: Iterable[Iterable[ReviewCase]]) -> dict[UUID, str]:
    """Return the pseudonym for each owner; owners who share an image share it."""
    group_of: dict[UUID, UUID] = {}
    for cases in images:
        owners = {case.owner_id for case in cases}
        groups = {group_of.get(owner, owner) for owner in owners}
        joined = min(groups)
        group_of |= {owner: joined for owner, group in group_of.items() if group in groups}
        group_of |= dict.fromkeys(owners, joined)
    return {owner: _pseudonym(group) for owner, group in group_of.items()}


def _pseudonym(identity: UUID) -> str:
    """Return a name that is always the same, and leads back only for those who know the id."""
    return sha256(b"veriscan-label/" + identity.bytes).hexdigest()[:PSEUDONYM_CHARACTERS]


def _csv(lines: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *lines])
    return text.getvalue().encode()


def _require_empty(folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ExportFolderError("the folder is not empty; name a new one")
    except OSError as error:
        raise ExportFolderError(f"the folder cannot be read ({error.strerror})") from error


def _write(path: Path, data: bytes) -> None:
    make_private_folder(path.parent)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ExportFolderError(f"a file cannot be written ({error.strerror})") from error
