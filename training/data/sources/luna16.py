"""Authentic chest CT of the LUNA16 challenge: LIDC-IDRI volumes of thin slices.

Setio et al., *Validation, comparison, and combination of algorithms for automatic detection of
pulmonary nodules*, Medical Image Analysis 42 (2017); https://luna16.grand-challenge.org. Unpacked::

    subset0/<series>.mhd and .raw … subset9/
    seg-lungs-LUNA16/…              (masks, passed over)

A volume is a patient: the challenge took one series of each.
"""

from collections.abc import Iterator
from pathlib import Path

from app.detection.labels import Label
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, files_below, register, slices_of


@register("luna16", licence="CC BY 4.0 (LUNA16, from LIDC-IDRI)")
def read(root: Path, options: SourceOptions) -> Iterator[RawScan]:
    """Return slices of every volume's middle."""
    for path in files_below(root, ".mhd"):
        if not any(part.startswith("seg-") for part in path.relative_to(root).parts):
            row = Scan(path=path, label=Label.REAL, source="luna16", patient=path.stem)
            yield from slices_of(path, root, row, options.every_slice)
