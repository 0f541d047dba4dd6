"""What lies over a scan and is no part of the body: side markers, dates, frames of one grey.

Hospitals print them over authentic scans and forgers leave them there, so they must carry no
information; to a network that never saw one, a letter looks like something that was pasted in.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from training.config import AugmentationConfig

LETTERS = "LR"
CHARACTERS = "ABCDEFGHIKLMNOPRSTUVWX0123456789:.-/"
LEAST_TEXT, MOST_TEXT = 0.05, 0.25  # height of a line, as a share of the image's side
WIDEST_STRIP = 0.2  # of a frame, as a share of the image's side


@dataclass(frozen=True, slots=True)
class Overprint:
    """Something printed over an image.

    Attributes:
        opacity: How much of the image it hides, float32 in [0, 1], shape ``[S, S]``.
        grey: What is seen instead, float32 in [0, 1], shape ``[S, S]``.
    """

    opacity: NDArray[np.float32]
    grey: NDArray[np.float32]

    def over(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image under it, float32 in [0, 1], shape ``[S, S]``."""
        return image + self.opacity * (self.grey - image)

    def uncovered(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how much of each pixel is forged and still to be seen."""
        return mask * (1 - self.opacity)


def draw_overprint(
    rng: np.random.Generator, side: int, config: AugmentationConfig
) -> Overprint | None:
    """Draw what is printed over a square of ``side`` pixels; None for nothing."""
    if not config.frame and not config.marker:
        return None
    framed, marked = rng.random(2) < (config.frame, config.marker)
    if not framed and not marked:
        return None
    opacity, grey = np.zeros((2, side, side), dtype=np.float32)
    if framed:
        _add_frame(opacity, grey, rng)
    if marked:
        for _ in range(int(rng.integers(1, 4))):
            _add_text(opacity, grey, rng)
    return Overprint(opacity, grey)


def _add_frame(
    opacity: NDArray[np.float32], grey: NDArray[np.float32], rng: np.random.Generator
) -> None:
    side = len(opacity)
    strips = (rng.random(4) * WIDEST_STRIP * side * (rng.random(4) < 0.5)).astype(int)
    top, bottom, left, right = strips
    hidden = np.ones_like(opacity, dtype=np.bool_)
    hidden[top : side - bottom, left : side - right] = False
    opacity[hidden] = 1
    grey[hidden] = rng.choice([0.0, 1.0, rng.random()], p=[0.7, 0.15, 0.15])


def _add_text(
    opacity: NDArray[np.float32], grey: NDArray[np.float32], rng: np.random.Generator
) -> None:
    ink = _ink(rng, len(opacity))
    top, left = (int(rng.integers(1 - n // 2, len(opacity) - n // 2)) for n in ink.shape)
    rows, columns = (
        slice(max(0, start), start + n) for start, n in zip((top, left), ink.shape, strict=True)
    )
    shown = ink[max(0, -top) :, max(0, -left) :]
    shown = shown[: len(opacity) - rows.start, : len(opacity) - columns.start]
    opacity[rows, columns] = np.maximum(opacity[rows, columns], shown)
    bright = rng.random() < 0.9
    grey[rows, columns][shown > 0] = rng.uniform(0.7, 1.0) if bright else rng.uniform(0.0, 0.2)


def _ink(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return a side marker or a line of characters: how much ink there is, in [0, 1]."""
    size = round(side * LEAST_TEXT * (MOST_TEXT / LEAST_TEXT) ** rng.random())
    marker = rng.random() < 0.6
    count = 1 if marker else int(rng.integers(2, 11))
    text = "".join(rng.choice(list(LETTERS if marker else CHARACTERS), size=count))
    font = _font(max(6, size if marker else min(size, side // 8)))
    left, top, right, bottom = font.getbbox(text)
    room = 3 + size // 4
    image = Image.new("L", (round(right - left) + 2 * room, round(bottom - top) + 2 * room))
    draw = ImageDraw.Draw(image)
    draw.text((room - left, room - top), text, fill=255, font=font)
    if marker and rng.random() < 0.3:
        outline = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        outline((1, 1, image.width - 2, image.height - 2), outline=255, width=max(1, size // 12))
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-25, 25), Image.Resampling.BILINEAR, expand=True)
    if rng.random() < 0.2:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    ink = np.asarray(image, dtype=np.float32) / np.float32(255)
    if rng.random() < 0.5:  # of lead, and not printed
        ink = ndimage.gaussian_filter(ink, rng.uniform(0.3, 1.2))
    return (ink * np.float32(rng.uniform(0.6, 1.0))).astype(np.float32)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
