"""Scans whose verdict was contested in Veriscan and settled by its reviewers.

``flask export-labels FOLDER`` writes them, each modality into a folder of its own::

    FOLDER/lung_ct/manifest.csv        path, label, source, patient, modality
    FOLDER/lung_ct/3fa91c….png         the grey values that were judged

Only scans whose owners consented are in it. The patient is a pseudonym of the owner, so that all
scans of one owner stand on one side. A scan that reviewers took for a fake names no generator but
this source, since nobody knows what made it.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.manifest import read_manifest
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, register
from training.errors import SourceError

NAME = "veriscan_reviews"
MANIFEST = "manifest.csv"


@register(NAME, licence="with their owners' consent; not to be passed on")
def read(root: Path, _options: SourceOptions) -> Iterator[RawScan]:
    """Return every scan of the manifest in a modality's folder."""
    manifest = root / MANIFEST
    if not manifest.is_file():
        raise SourceError(
            f"{NAME}: there is no {MANIFEST} in {root}. `flask export-labels` writes one for each "
            "modality that has settled cases."
        )
    for scan in read_manifest(manifest):
        yield RawScan(scan=scan, name=scan.path.relative_to(root).as_posix())
