"""Authentic chest CT of LIDC-IDRI, as The Cancer Imaging Archive hands it out.

Armato et al., *The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
(IDRI)*, Medical Physics 38 (2011). Unpacked::

    LIDC-IDRI-0001/<study>/<series>/*.dcm

Series that are not CT (chest X-rays) are left out. Of each CT the middle, every N-th slice.
``luna16`` and ``ctgan`` show some of the same people under other names.
"""

from collections.abc import Iterator
from pathlib import Path

from app.detection.labels import Label
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, register
from training.data.volumes import SHORTEST_STACK, dicom_series


@register("lidc", licence="CC BY 3.0 (TCIA LIDC-IDRI)")
def read(root: Path, options: SourceOptions) -> Iterator[RawScan]:
    """Return slices of every CT series; a patient is a folder."""
    for patient in sorted(p for p in root.rglob("LIDC-IDRI-*") if p.is_dir()):
        for series in dicom_series(patient.rglob("*.dcm"), modality="CT"):
            if len(series.slices) < SHORTEST_STACK:  # a scout view
                continue
            for path in series.middle(options.every_slice):
                row = Scan(path=path, label=Label.REAL, source="lidc", patient=patient.name)
                yield RawScan(scan=row, name=path.relative_to(root).as_posix())
