"""Scans as they are brought: a file each, or a slice of a volume."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.detection.decoding import decode_single
from app.detection.spec import ModalitySpec
from training.data.manifest import Scan
from training.data.volumes import slice_grey


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScan:
    """A scan before it is prepared.

    Attributes:
        scan: Its row. The path is that of the file; of a slice, the volume's with the slice's
            number below it.
        name: What its row is called in messages: its path as the manifest says it or, of a public
            set, below the set's folder.
        slice_index: Of a slice of a volume, counted from the feet; None for a file.
    """

    scan: Scan
    name: str
    slice_index: int | None = None

    @property
    def file(self) -> Path:
        """The file that holds it."""
        return self.scan.path if self.slice_index is None else self.scan.path.parent

    def read(self, spec: ModalitySpec) -> NDArray[np.float32]:
        """Return its grey values as the server would see them, float32 in [0, 1], ``[H, W]``.

        Raises:
            UploadError: The file cannot be decoded.
            SourceError: The volume cannot be read.
        """
        if self.slice_index is None:
            return decode_single(self.scan.path.read_bytes(), spec).grey
        return slice_grey(self.file, self.slice_index, spec)
