"""What harmless changes do to a detector whose threshold stays where it was.

A scan is sent on as JPEG, scaled, smoothed by somebody's viewer or shown in another window. None
of that makes it a fake, nor a fake authentic. Each change here gives the image as its file would
have it, in 8 bits, which then goes the ordinary way to the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from app.detection.card import Card, Estimate
from app.detection.weights import LoadedDetector
from training.data.augment import denoised, jpeg_round_trip, with_local_contrast
from training.data.manifest import Scan
from training.evaluation.intervals import estimate_fall, estimates
from training.evaluation.metrics import (
    Metric,
    auc,
    balanced_accuracy,
    coverage,
    false_alarm_rate,
    miss_rate,
)
from training.evaluation.predict import Variation, judge
from training.evaluation.prediction_file import Prediction
from training.evaluation.report import Robustness, predictions_of_rows
from training.seeding import generator_for

Grey = NDArray[np.float32]

AS_IT_IS = "as it is"
MEASURED: Mapping[str, Metric] = {
    "balanced_accuracy": balanced_accuracy,
    "auc": auc,
    "coverage": coverage,
    "false_alarm_rate": false_alarm_rate,
    "miss_rate": miss_rate,
}


# --- the changes ----------------------------------------------------------------------------


def _unchanged(grey: Grey, _path: str) -> Grey:
    return grey


def _jpeg(grey: Grey, _path: str, *, quality: int) -> Grey:
    return jpeg_round_trip(grey, quality=quality)


def _resize(grey: Grey, _path: str, *, factor: float) -> Grey:
    """Scale as an image editor does: cubic, with antialiasing where it gets smaller."""
    height, width = grey.shape
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    image = Image.fromarray(np.round(grey * 255).astype(np.uint8))
    scaled = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(scaled, dtype=np.float32) / np.float32(255)


def _noise(grey: Grey, path: str, *, sigma: float) -> Grey:
    """Add Gaussian noise; each scan has its own, the same every time."""
    rng = generator_for("robustness noise", path, sigma)
    return _in_8_bits(grey + rng.normal(0, sigma, grey.shape))


def _blur(grey: Grey, _path: str, *, sigma: float) -> Grey:
    return _in_8_bits(ndimage.gaussian_filter(grey, sigma))


def _gamma(grey: Grey, _path: str, *, gamma: float) -> Grey:
    return _in_8_bits(grey**gamma)


def _crop(grey: Grey, _path: str, *, share: float) -> Grey:
    """Keep the middle ``share`` of either side."""
    height, width = grey.shape
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return grey[top : height - top, left : width - left]


def _window(grey: Grey, _path: str, *, low: float, high: float) -> Grey:
    """Show ``low`` as black and ``high`` as white; either may lie outside 0 to 1."""
    return _in_8_bits((grey - low) / (high - low))


def _inverted(grey: Grey, _path: str) -> Grey:
    return np.float32(1) - grey


def _marker(grey: Grey, path: str) -> Grey:
    """Print a side marker near the left or the right border; each scan has its own place."""
    rng = generator_for("robustness marker", path)
    image = Image.fromarray(np.round(grey * 255).astype(np.uint8))
    place = image.width * rng.choice([0.04, 0.85]), image.height * rng.uniform(0.05, 0.85)
    font = ImageFont.load_default(max(6, image.height // 10))
    ImageDraw.Draw(image).text(place, str(rng.choice(["L", "R"])), fill=255, font=font)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _frame(grey: Grey, _path: str, *, share: float) -> Grey:
    """Lay black around a scan, ``share`` of its sides on each."""
    return np.pad(grey, [(round(share * length),) * 2 for length in grey.shape])


def _local_contrast(grey: Grey, _path: str, *, gain: float) -> Grey:
    """Raise what differs from its surroundings, as viewers do that equalise contrast."""
    return _in_8_bits(with_local_contrast(grey, spread=max(grey.shape) / 28, gain=gain))


def _denoised(grey: Grey, _path: str) -> Grey:
    return _in_8_bits(denoised(grey, radius=2, grain=0.02))


def _in_8_bits(grey: NDArray[np.floating]) -> Grey:
    return (np.round(np.clip(grey, 0, 1) * 255) / 255).astype(np.float32)


VARIATIONS: Mapping[str, Variation] = {
    AS_IT_IS: _unchanged,
    "JPEG, quality 95": partial(_jpeg, quality=95),
    "JPEG, quality 85": partial(_jpeg, quality=85),
    "JPEG, quality 75": partial(_jpeg, quality=75),
    "JPEG, quality 60": partial(_jpeg, quality=60),
    "scaled to 50 %": partial(_resize, factor=0.5),
    "scaled to 75 %": partial(_resize, factor=0.75),
    "scaled to 150 %": partial(_resize, factor=1.5),
    "scaled to 200 %": partial(_resize, factor=2.0),
    "noise, 1 % of the range": partial(_noise, sigma=0.01),
    "noise, 3 % of the range": partial(_noise, sigma=0.03),
    "blur, 0.5 pixels": partial(_blur, sigma=0.5),
    "blur, 1 pixel": partial(_blur, sigma=1.0),
    "gamma 0.8": partial(_gamma, gamma=0.8),
    "gamma 1.25": partial(_gamma, gamma=1.25),
    "cropped to 90 %": partial(_crop, share=0.9),
    "cropped to 80 %": partial(_crop, share=0.8),
    "narrower window": partial(_window, low=0.1, high=0.9),
    "wider window": partial(_window, low=-0.15, high=1.15),
    "brighter window": partial(_window, low=-0.1, high=0.9),
    "darker window": partial(_window, low=0.1, high=1.1),
    "local contrast raised": partial(_local_contrast, gain=1.0),
    "grain taken away": _denoised,
    "black and white exchanged": _inverted,
    "side marker": _marker,
    "black frame": partial(_frame, share=0.1),
}
"""What is done to the scans, by name. Shares of the range are of grey values in [0, 1]."""

EVERYDAY = (
    "JPEG, quality 95",
    "JPEG, quality 85",
    "JPEG, quality 75",
    "scaled to 50 %",
    "scaled to 75 %",
    "scaled to 150 %",
    "scaled to 200 %",
)
"""What happens to scans every day; the worst fall is taken over these."""


# --- measuring ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How many scans the changes are tried on, and which.

    Attributes:
        scans: About so many; half of them authentic, the fakes spread over generators.
        seed: Of the choice.
    """

    scans: int = 200
    seed: int = 0


def robustness_rows(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    manifest: Path,
    sample: Sample,
    *,
    journal: Path | None = None,
) -> list[Prediction]:
    """Judge a sample of the scans after each change; each row says which.

    Args:
        detector: The network and its card.
        scans: What to choose from; each must be readable.
        manifest: The file that names them.
        sample: How many, and which.
        journal: Folder of what was said before.
    """
    chosen = choose(scans, sample)
    task = "changing and judging"
    return judge(detector, chosen, manifest, variations=VARIATIONS, task=task, journal=journal).rows


def choose(scans: Sequence[Scan], sample: Sample) -> list[Scan]:
    """Return a seeded sample: half authentic, the fakes spread evenly over the generators.

    Where there is one class only, all of the sample is of it.
    """
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        groups.setdefault(scan.generator, []).append(scan)
    generators = [name for name in groups if name]
    half = sample.scans // 2 if "" in groups and generators else sample.scans
    chosen: list[Scan] = []
    for name, own in sorted(groups.items()):
        count = max(1, half // len(generators)) if name else half
        order = generator_for("robustness sample", sample.seed, name).permutation(len(own))
        chosen += [own[i] for i in order[:count]]
    return chosen


def robustness(rows: Sequence[Prediction], card: Card) -> Robustness:
    """Compute what each change does to the figures.

    Args:
        rows: Of ``robustness_rows``.
        card: Of the detector that made them.
    """
    by_name: dict[str, list[Prediction]] = {}
    for row in rows:
        by_name.setdefault(row.variation, []).append(row)
    arrays = {name: predictions_of_rows(own, card) for name, own in by_name.items()}
    before = arrays[AS_IT_IS]
    table = {name: estimates(MEASURED, after) for name, after in arrays.items()}
    falls = {
        name: estimate_fall(balanced_accuracy, before, after)
        for name, after in arrays.items()
        if name != AS_IT_IS
    }
    worst = max(EVERYDAY, key=lambda name: falls[name].value or 0.0)
    fall = falls[worst]
    note = f"{worst}; {fall.note}"
    return Robustness(
        worst_fall=Estimate(value=fall.value, low=fall.low, high=fall.high, note=note),
        variations={
            name: ({"fall": falls[name]} if name in falls else {}) | figures
            for name, figures in table.items()
        },
    )
