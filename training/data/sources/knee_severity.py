"""Authentic knee X-rays with their grade of osteoarthritis, cropped to one joint.

Chen, *Knee Osteoarthritis Severity Grading Dataset*, 2018; Mendeley Data 10.17632/56rmx5bjcr, from
the Osteoarthritis Initiative. Unpacked::

    kneeKL224/train/0/9001695L.png      (also kneeKL299, the same knees larger)
    kneeKL224/{val,test}/{0,1,2,3,4}/…
    kneeKL224/auto_test/0/9003175_1.png (passed over)

A file is named after the participant and the knee, so both knees of a person are one patient. The
sides of this project are drawn anew by patient, whatever folder a knee lies in. ``auto_test`` shows
the knees of ``test`` again under other names, as a program cropped them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from app.detection.labels import Label
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, files_below, register
from training.errors import SourceError

FOLDERS = ("train", "val", "test")
GRADES = ("0", "1", "2", "3", "4")
NAME = re.compile(r"(\d+)[LR]?(_\w+)?", flags=re.IGNORECASE)


@register("knee_severity", licence="CC BY 4.0 (Mendeley Data 56rmx5bjcr); OAI terms upstream")
def read(root: Path, _options: SourceOptions) -> Iterator[RawScan]:
    """Return each knee once; where both sizes are there, the smaller one."""
    sizes = sorted(path for path in root.rglob("kneeKL*") if path.is_dir())
    base = sizes[0] if sizes else root
    seen: set[str] = set()
    for folder in FOLDERS:
        for path in files_below(base / folder, ".png", ".jpg") if (base / folder).is_dir() else ():
            if path.parent.name not in GRADES or path.stem in seen:
                continue
            seen.add(path.stem)
            matched = NAME.fullmatch(path.stem)
            if matched is None:
                raise SourceError(
                    f"knee_severity: {path} is not named after a participant, as 9001695L.png is."
                )
            row = Scan(
                path=path,
                label=Label.REAL,
                source="knee_severity",
                patient=matched.group(1),
                grade=path.parent.name,
            )
            yield RawScan(scan=row, name=path.relative_to(root).as_posix())
