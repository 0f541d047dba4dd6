"""Synthetic knee X-rays of a Wasserstein GAN: 320,000 fakes of nobody.

Prezja et al., *DeepFake knee osteoarthritis X-rays from generative adversarial neural networks
deceive medical experts and offer augmentation potential to automatic classification*, Scientific
Reports 12 (2022), 18573; Mendeley Data 10.17632/fyybnjkw7v. Unpacked::

    KL01_160K/*.png     no or doubtful osteoarthritis
    KL234_160K/*.png    the other grades

Every fake stands for itself. They are a third party's: name ``[own_sides.prezja_knees]`` in the
config of the data set to keep them out of training. ``--limit`` takes a part of them.
"""

from collections.abc import Iterator
from pathlib import Path

from app.detection.labels import Label
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.sources.base import SourceOptions, files_below, register

ENDINGS = (".png", ".jpg", ".jpeg")


@register("prezja_knees", licence="CC BY 4.0 (Mendeley Data fyybnjkw7v)")
def read(root: Path, _options: SourceOptions) -> Iterator[RawScan]:
    """Return every image below a folder whose name begins with KL."""
    for path in files_below(root, *ENDINGS):
        name = path.relative_to(root)
        grade = next((part for part in name.parts[:-1] if part.upper().startswith("KL")), None)
        if grade is not None:
            row = Scan(
                path=path,
                label=Label.FAKE,
                source="prezja_knees",
                patient=f"{grade}-{path.stem}",
                generator="prezja_gan",
            )
            yield RawScan(scan=row, name=name.as_posix())
