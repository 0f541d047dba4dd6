"""Spoils files at random and checks that the decoder refuses them or still makes sense of them."""

import numpy as np

from app.detection.decoding import decode
from app.detection.spec import modality
from app.errors import UploadError

CHANGES_PER_FILE = 6


def check_spoilt_copies(original: bytes, *, copies: int, first: int, last: int) -> None:
    """Change bytes between ``first`` and ``last`` in many copies of a file and decode each.

    Whatever comes of it is an ``UploadError`` or grey values in [0, 1], nothing else.
    """
    generator = np.random.default_rng(len(original))
    for _ in range(copies):
        data = bytearray(original)
        for position in generator.integers(first, min(last, len(data)), size=CHANGES_PER_FILE):
            data[position] = int(generator.integers(0, 256))
        try:
            grey = decode(bytes(data), modality("lung_ct")).grey
        except UploadError:
            continue
        assert np.isfinite(grey).all()
        assert grey.min() >= 0
        assert grey.max() <= 1
