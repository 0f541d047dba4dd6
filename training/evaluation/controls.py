"""Whether whole synthetic images are found for being synthetic, or for being coarse.

A generator that works at 64 pixels gives blurred images once they are scaled up. A network that
learned "blurred means fake" tells them from sharp authentic scans and catches no other generator.
So authentic scans are sent through the same resolution: scaled down to the generator's side and up
again. Against these the AUC of the fakes must hold, and none of them may be called fake.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.detection.card import Card, Estimate
from app.detection.labels import Label
from app.detection.weights import LoadedDetector
from training.data.augment import resampled
from training.data.manifest import Scan
from training.evaluation.intervals import estimate
from training.evaluation.metrics import auc, false_alarm_rate
from training.evaluation.predict import judge
from training.evaluation.prediction_file import Prediction
from training.evaluation.report import predictions_of_rows
from training.seeding import generator_for

FALSE_ALARMS = "false alarms"
COMMON = 0.1
"""Share of a generator's images from which on the resolution of these is tried."""


def sides_of(scans: Sequence[Scan]) -> tuple[int, ...]:
    """Return the resolutions at which networks drew the synthetic images among scans, in pixels.

    Of a generator that draws at any resolution those count at which it drew a tenth of its images,
    or the commonest where there is none such.
    """
    drawn: dict[str, Counter[int]] = {}
    for scan in scans:
        if scan.drawn_side:
            drawn.setdefault(scan.generator, Counter())[int(scan.drawn_side)] += 1
    common: set[int] = set()
    for sides in drawn.values():
        frequent = {side for side, count in sides.items() if count >= COMMON * sides.total()}
        common |= frequent or {sides.most_common(1)[0][0]}
    return tuple(sorted(common))


def control_rows(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    manifest: Path,
    sides: Sequence[int],
    *,
    at_most: int = 200,
    journal: Path | None = None,
) -> list[Prediction]:
    """Judge authentic scans that were sent through each resolution; each row says which.

    Args:
        detector: The network and its card.
        scans: The authentic ones among them are taken; each must be readable.
        manifest: The file that names them.
        sides: Of the longer side in between, in pixels.
        at_most: A seeded sample of so many scans.
        journal: Folder of what was said before.
    """
    reals = [scan for scan in scans if scan.label is Label.REAL]
    order = generator_for("controls").permutation(len(reals))[:at_most]
    chosen = [reals[i] for i in order]
    variations = {_name(side): partial(_coarsened, side=side) for side in sorted(set(sides))}
    return judge(
        detector, chosen, manifest, variations=variations, task="coarsening", journal=journal
    ).rows


def controls(
    coarse: Sequence[Prediction], rows: Sequence[Prediction], card: Card
) -> dict[str, Mapping[str, Estimate]]:
    """Return the AUC of whole synthetic images against coarsened authentic scans.

    Args:
        coarse: Of ``control_rows``.
        rows: Of the prediction file.
        card: Of the detector that made both.

    Returns:
        By resolution and generator, with the share of coarsened scans called fake.
    """
    whole: dict[str, list[Prediction]] = {}
    for row in rows:
        if row.label == "fake" and not row.peak_in_mask:
            whole.setdefault(row.generator, []).append(row)
    by_side: dict[str, list[Prediction]] = {}
    for row in coarse:
        by_side.setdefault(row.variation, []).append(row)
    return {
        side: {FALSE_ALARMS: estimate(false_alarm_rate, predictions_of_rows(reals, card))}
        | {
            name: estimate(auc, predictions_of_rows([*reals, *fakes], card))
            for name, fakes in sorted(whole.items())
        }
        for side, reals in by_side.items()
    }


def _coarsened(grey: NDArray[np.float32], _path: str, *, side: int) -> NDArray[np.float32]:
    share = min(1.0, side / max(grey.shape))
    return (np.round(resampled(grey, share) * 255) / 255).astype(np.float32)


def _name(side: int) -> str:
    return f"through {side} pixels"
