"""A sheet of small pictures that shows at a glance what a generator makes."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.images import read_grey
from training.data.manifest import Scan
from training.runs import write_whole

TILE_SIDE = 160
COLUMNS = 8
GAP = 4
WIDER = 1.6  # side of what is shown of an edit over that of its mask


def write_sheet(path: Path, fakes: Sequence[Scan]) -> None:
    """Write a PNG with whole synthetic scans, or with edits beside what they were made from."""
    tiles = [tile for fake in fakes for tile in _tiles(fake)]
    rows = -(-len(tiles) // COLUMNS)
    step = TILE_SIDE + GAP
    sheet = Image.new("L", (COLUMNS * step + GAP, rows * step + GAP), 255)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(_small(tile), (GAP + column * step, GAP + row * step))
    buffer = BytesIO()
    sheet.save(buffer, format="PNG")
    write_whole(path, buffer.getvalue())


def square_around(
    grey: NDArray[np.float32], center: tuple[int, int], side: int
) -> NDArray[np.float32]:
    """Cut a square around a column and row, moved inwards where it would leave the scan."""
    side = min(side, *grey.shape)
    left, top = (
        min(max(0, at - side // 2), length - side)
        for at, length in zip(center, grey.shape[::-1], strict=True)
    )
    return grey[top : top + side, left : left + side]


def _tiles(fake: Scan) -> list[NDArray[np.float32]]:
    grey = read_grey(fake.path)
    if not fake.origin:
        return [grey]
    pair = [read_grey(fake.origin), grey]
    if not fake.mask:
        return pair
    rows, columns = np.nonzero(read_grey(fake.mask) > 0.5)
    side = round(WIDER * (1 + max(np.ptp(rows), np.ptp(columns))))
    return [square_around(g, (int(fake.x), int(fake.y)), side) for g in pair]


def _small(grey: NDArray[np.float32]) -> Image.Image:
    image = Image.fromarray(np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8))
    return image.resize((TILE_SIDE, TILE_SIDE), Image.Resampling.BICUBIC)
