"""Images that are no scans, drawn: noise, blanks, pages, charts, and some that resemble scans.

The last are what a gate would otherwise learn too little of: bodies without the right anatomy,
photographs cut to the outline of a body, scans in pieces, scans whose lungs are filled. A scan
drawn coarsely, in contrast, is what the gate must let pass.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from training.gate.images import SIDE_PIXELS

PAGE_PIXELS = 480
LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFG0123456789     ,.")

Grey = NDArray[np.floating]
Pictures = NDArray[np.uint8]
Draw = Callable[[np.random.Generator, Pictures], Grey]

HOLLOW_SHARES = (0.12, 0.75)
"""Share of a body that is hollow, least and most, where it is worth filling."""
HOLLOW_GREY = 0.5
"""Hollows are at most this bright on average, in shares of the flesh around them."""

ROWS, COLUMNS = np.mgrid[-1 : 1 : SIDE_PIXELS * 1j, -1 : 1 : SIDE_PIXELS * 1j]


def draw(name: str, rng: np.random.Generator, pictures: Pictures) -> NDArray[np.uint8]:
    """Draw one image.

    Args:
        name: A key of ``DRAWINGS`` or ``LOOKALIKES``, or ``COARSE_SCAN``.
        rng: Source of chance.
        pictures: Thumbnails to draw with, uint8, shape ``[N, 160, 160]``: of scans for pages and
            scans in pieces, of other images for those in a body's outline.

    Returns:
        Grey values, uint8, shape ``[160, 160]``.
    """
    grey = {**DRAWINGS, **LOOKALIKES, COARSE_SCAN: _coarse_scan}[name](rng, pictures)
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


# --- no structure ---------------------------------------------------------------------------


def _white_noise(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    return rng.normal(rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.5), ROWS.shape)


def _cloudy_noise(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    frequency = np.fft.fftfreq(SIDE_PIXELS)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    radius[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=ROWS.shape)) / radius ** rng.uniform(0.5, 2)
    clouds = np.fft.ifft2(spectrum).real
    return (clouds - clouds.min()) / np.ptp(clouds)


def _blank(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    level = rng.choice([0, 1, rng.random()])
    return np.full(ROWS.shape, level) + rng.normal(0, rng.choice([0, 0.01]), ROWS.shape)


def _gradient(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    angle, steepness = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.8)
    if rng.random() < 0.5:
        return rng.random() + steepness * (np.cos(angle) * ROWS + np.sin(angle) * COLUMNS)
    row, column = rng.uniform(-1, 1, 2)
    return rng.random() + rng.choice([-1, 1]) * steepness * np.hypot(ROWS - row, COLUMNS - column)


def _stripes(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 30)
    wave = np.sin(waves * (np.cos(angle) * ROWS + np.sin(angle) * COLUMNS))
    return (wave > 0).astype(float) if rng.random() < 0.5 else wave / 2 + 0.5


# --- pages ----------------------------------------------------------------------------------


def _text(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    page, ink = _page(rng)
    _write(page, rng, ink, line_height=rng.uniform(1.1, 1.8))
    return _small(page)


def _screen(rng: np.random.Generator, pictures: Pictures) -> Grey:
    """A page of a program, often with a scan on it."""
    page, ink = _page(rng)
    canvas = ImageDraw.Draw(page)
    canvas.rectangle([0, 0, PAGE_PIXELS, int(rng.integers(20, 60))], fill=_shade(rng))
    for _ in range(int(rng.integers(2, 9))):
        canvas.rounded_rectangle(_box(rng, 30, 200), 8, fill=_shade(rng), outline=ink)
    if len(pictures) and rng.random() < 0.7:
        side = int(rng.integers(80, 200))
        scan = Image.fromarray(pictures[rng.integers(len(pictures))]).resize((side, side))
        left, top = (int(v) for v in rng.integers(0, PAGE_PIXELS - side, 2))
        page.paste(scan, (left, top))
    _write(page, rng, ink, line_height=rng.uniform(1.5, 6))
    return _small(page)


def _chart(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    page, ink = _page(rng)
    canvas = ImageDraw.Draw(page)
    canvas.line([40, 20, 40, 440, 460, 440], fill=ink, width=2)
    if rng.random() < 0.5:
        for bar in range(8):
            left, height = 60 + bar * 48, int(rng.integers(20, 400))
            canvas.rectangle([left, 440 - height, left + 35, 440], fill=_shade(rng))
    else:
        heights = 240 + np.cumsum(rng.normal(0, 25, 40))
        canvas.line([(50 + 10 * i, int(h)) for i, h in enumerate(heights)], fill=ink, width=3)
    return _small(page)


def _shapes(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    page, _ = _page(rng)
    canvas = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 12))):
        shape = canvas.ellipse if rng.random() < 0.5 else canvas.rectangle
        shape(_box(rng, 10, 250), fill=_shade(rng))
    return _small(page)


def _page(rng: np.random.Generator) -> tuple[Image.Image, int]:
    """Return an empty page and the grey value of its ink."""
    paper = int(rng.choice([255, 245, 230, 20, 0]))
    return Image.new("L", (PAGE_PIXELS, PAGE_PIXELS), paper), 255 - paper


def _write(page: Image.Image, rng: np.random.Generator, ink: int, *, line_height: float) -> None:
    canvas, size = ImageDraw.Draw(page), int(rng.integers(9, 26))
    font = ImageFont.load_default(size)
    for top in np.arange(rng.integers(5, 40), PAGE_PIXELS, size * line_height):
        if rng.random() < 0.85:
            line = "".join(rng.choice(LETTERS, int(rng.integers(5, 80))))
            canvas.text((int(rng.integers(5, 60)), int(top)), line, fill=ink, font=font)


def _box(rng: np.random.Generator, least: int, most: int) -> list[int]:
    left, top = rng.integers(0, PAGE_PIXELS - 80, 2)
    width, height = rng.integers(least, most, 2)
    return [int(left), int(top), int(left + width), int(top + height)]


def _shade(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 256))


def _small(page: Image.Image) -> Grey:
    resized = page.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)
    return np.asarray(resized, dtype=np.float64) / 255


# --- what resembles a scan ------------------------------------------------------------------


def _body(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return where an ellipse lies that might be the outline of a body."""
    angle = rng.uniform(0, np.pi)
    row, column = ROWS - rng.uniform(-0.15, 0.15), COLUMNS - rng.uniform(-0.15, 0.15)
    along = (np.cos(angle) * column + np.sin(angle) * row) / rng.uniform(0.5, 0.98)
    across = (np.cos(angle) * row - np.sin(angle) * column) / rng.uniform(0.5, 0.98)
    inside: NDArray[np.bool_] = along**2 + across**2 < 1
    return inside


def _phantom(rng: np.random.Generator, _pictures: Pictures) -> Grey:
    """A body with organs that no body has."""
    body = _body(rng)
    grey = np.where(body, rng.uniform(0.2, 1), rng.choice([0, 0, rng.uniform(0, 0.4)]))
    if rng.random() < 0.7:
        coarse = rng.random((int(rng.integers(3, 14)),) * 2)
        clouds = ndimage.zoom(
            coarse, SIDE_PIXELS / len(coarse), order=1, grid_mode=True, mode="grid-wrap"
        )
        grey = np.where(body, grey / 2 + clouds * rng.uniform(0.2, 0.8), grey)
    for _ in range(int(rng.integers(0, 8))):
        row, column = rng.uniform(-0.6, 0.6, 2)
        height, width = rng.uniform(0.05, 0.4, 2)
        organ = ((ROWS - row) / height) ** 2 + ((COLUMNS - column) / width) ** 2 < 1
        grey = np.where(organ & body, rng.random(), grey)
    return grey + rng.normal(0, rng.uniform(0, 0.06), ROWS.shape)


def _picture_in_body(rng: np.random.Generator, pictures: Pictures) -> Grey:
    """Another image cut to the outline of a body."""
    picture = pictures[rng.integers(len(pictures))] / 255
    return np.where(_body(rng), picture, rng.choice([0, 0, 0, rng.uniform(0, 0.3)]))


def _scan_in_pieces(rng: np.random.Generator, pictures: Pictures) -> Grey:
    """A scan cut into squares that lie in another order."""
    scan, count = pictures[rng.integers(len(pictures))], int(rng.choice([2, 4, 5]))
    side = SIDE_PIXELS // count
    tiles = scan.reshape(count, side, count, side).swapaxes(1, 2).reshape(-1, side, side)
    order = rng.permutation(len(tiles))
    while (order == np.arange(len(tiles))).mean() > 0.3:
        order = rng.permutation(len(tiles))
    mixed = tiles[order].reshape(count, count, side, side).swapaxes(1, 2)
    return mixed.reshape(SIDE_PIXELS, SIDE_PIXELS) / 255


def _filled_scan(rng: np.random.Generator, pictures: Pictures) -> Grey:
    """A scan whose hollows, such as lungs, are filled: a body like any other part of it.

    Half of them are shown as through a window for soft tissue. Without a scan that has hollows
    another one comes in pieces.
    """
    for _ in range(8):
        scan = pictures[rng.integers(len(pictures))] / 255
        flesh = scan > rng.uniform(0.4, 0.6)
        body = ndimage.binary_fill_holes(ndimage.binary_closing(flesh, iterations=3))
        hollow = ndimage.binary_dilation(body & ~flesh, iterations=3) & body
        share = hollow.sum() / max(1, body.sum())
        if HOLLOW_SHARES[0] < share < HOLLOW_SHARES[1]:
            level = float(np.median(scan[flesh]))
            if scan[hollow].mean() < HOLLOW_GREY * level:
                break
    else:
        return _scan_in_pieces(rng, pictures)
    filled = ndimage.gaussian_filter(_viscera(rng, level), 0.7)
    share = ndimage.gaussian_filter(hollow.astype(float), 1)
    grey = scan * (1 - share) + filled * share
    if rng.random() < 0.5:
        return grey
    low, high = level - rng.uniform(0.08, 0.3), level + rng.uniform(0.05, 0.25)
    return (grey - low) / (high - low)


def _viscera(rng: np.random.Generator, level: float) -> Grey:
    """Organs that are nearly as bright as the flesh around them, and some gas."""
    few = int(rng.integers(6, 80))
    clouds = ndimage.zoom(
        rng.normal(size=(few, few)), SIDE_PIXELS / few, order=1, grid_mode=True, mode="grid-wrap"
    )
    grey = level + rng.uniform(0, 0.06) * clouds
    for _ in range(int(rng.integers(0, 10))):
        row, column = rng.uniform(-0.6, 0.6, 2)
        height, width = rng.uniform(0.05, 0.45, 2)
        organ = ((ROWS - row) / height) ** 2 + ((COLUMNS - column) / width) ** 2 < 1
        is_gas = organ.mean() < 0.04 and rng.random() < 0.2
        inside = rng.uniform(0, 0.2) if is_gas else level + rng.normal(0, 0.07)
        grey = np.where(organ, inside, grey)
    return grey


def _coarse_scan(rng: np.random.Generator, pictures: Pictures) -> Grey:
    """A scan as a poor generator draws it: the large forms, and its texture in disorder."""
    scan = pictures[rng.integers(len(pictures))] / 255
    forms = ndimage.gaussian_filter(scan, rng.uniform(1.5, 5))
    texture = np.abs(np.fft.fft2(scan - ndimage.gaussian_filter(scan, 2)))
    phases = np.angle(np.fft.fft2(rng.normal(size=scan.shape)))
    disorder = np.fft.ifft2(texture * np.exp(1j * phases)).real
    return np.asarray(forms + rng.uniform(0.3, 1.5) * disorder)


DRAWINGS: Mapping[str, Draw] = MappingProxyType(
    {
        "white_noise": _white_noise,
        "cloudy_noise": _cloudy_noise,
        "blank": _blank,
        "gradient": _gradient,
        "stripes": _stripes,
        "text": _text,
        "screen": _screen,
        "chart": _chart,
        "shapes": _shapes,
    }
)
"""Images that somebody might send. How many of them are stopped is measured."""

DRAWN_WITH_PICTURES = "picture_in_body"
"""The lookalike that shows other images of the training side."""

LOOKALIKES: Mapping[str, Draw] = MappingProxyType(
    {
        "phantom": _phantom,
        DRAWN_WITH_PICTURES: _picture_in_body,
        "scan_in_pieces": _scan_in_pieces,
        "filled_scan": _filled_scan,
    }
)
"""Images that nobody would send, for fitting alone."""

COARSE_SCAN = "coarse_scan"
"""What is drawn of scans for the gate to let pass, so that it passes whole synthetic scans whose
generator it has not seen; for fitting alone."""
