"""What the stability check costs and gains: wrong verdicts withdrawn against right ones lost.

Every scan is judged as it is and in each of the variants that the server tries. Then each rule, for
each choice of variants, says which verdicts it would withdraw.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import torch
from tqdm import tqdm

from app.detection.labels import Verdict
from app.detection.preprocessing import normalise, to_square
from app.detection.stability import turns, variants_for
from app.detection.verdict import OperatingPoint
from app.detection.weights import LoadedDetector
from training.data.images import read_grey
from training.data.manifest import LABEL_NAMES, Scan
from training.seeding import generator_for

ITSELF = "itself"
RULES = ("turns", "leaves")
"""A variant turns a verdict if it lies on the other side of the threshold; it leaves a verdict if
it gets another one, inconclusive included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A scan with the probability of FAKE that it and its variants got.

    Attributes:
        path: Of the scan.
        label: ``real`` or ``fake``.
        generator: What made the fake; empty for authentic scans.
        probabilities: Calibrated, in [0, 1], by variant; ``itself`` is the scan as it is.
    """

    path: str
    label: str
    generator: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a rule does with some variants; every field counts scans.

    Attributes:
        rule: See ``RULES``.
        variants: Which are tried, joined by +.
        scans: All.
        wrong: Scans with a wrong verdict before.
        wrong_withdrawn: Of those, how many become inconclusive.
        right: Scans with a right verdict before.
        right_withdrawn: Of those, how many become inconclusive.
    """

    rule: str
    variants: str
    scans: int
    wrong: int
    wrong_withdrawn: int
    right: int
    right_withdrawn: int


def choose(scans: Sequence[Scan], per_group: int) -> list[Scan]:
    """Return so many authentic scans and so many fakes of each generator, chosen for all time."""
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        groups.setdefault(scan.generator, []).append(scan)
    return [
        group[position]
        for name, group in sorted(groups.items())
        for position in generator_for("stability", name).permutation(len(group))[:per_group]
    ]


def judge(detector: LoadedDetector, scans: Sequence[Scan]) -> list[Judged]:
    """Judge prepared scans and their variants."""
    return [_judged(detector, scan) for scan in tqdm(scans, desc="judging", unit="scan")]


def _judged(detector: LoadedDetector, scan: Scan) -> Judged:
    preprocessing, point = detector.card.preprocessing, detector.card.operating_point
    square = to_square(read_grey(scan.path), preprocessing.image_size).numpy()
    variants = variants_for(detector.card.architecture)
    squares = {ITSELF: square} | {name: vary(square) for name, vary in variants.items()}
    probabilities = {}
    for name, variant in squares.items():
        with torch.inference_mode():
            image = normalise(torch.from_numpy(variant), preprocessing)
            logit = float(detector.network(image[None]).logits[0])
        probabilities[name] = point.probability(logit)
    return Judged(
        path=str(scan.path),
        label=LABEL_NAMES[scan.label],
        generator=scan.generator,
        probabilities=probabilities,
    )


def try_rules(judged: Sequence[Judged], point: OperatingPoint) -> Iterator[Tried]:
    """Yield what each rule does, with each variant alone and with ever more of them."""
    names = [name for name in judged[0].probabilities if name != ITSELF]
    choices = [c for size in range(1, len(names) + 1) for c in combinations(names, size)]
    for rule in RULES:
        for choice in choices:
            yield _tried(rule, choice, judged, point)


def _tried(
    rule: str, choice: Sequence[str], judged: Sequence[Judged], point: OperatingPoint
) -> Tried:
    counts = dict.fromkeys(("wrong", "wrong_withdrawn", "right", "right_withdrawn"), 0)
    for scan in judged:
        verdict = point.verdict(scan.probabilities[ITSELF])
        if verdict is Verdict.INCONCLUSIVE:
            continue
        kind = "right" if verdict.value == scan.label else "wrong"
        counts[kind] += 1
        counts[f"{kind}_withdrawn"] += any(
            _is_shaken(rule, scan.probabilities[ITSELF], scan.probabilities[name], point)
            for name in choice
        )
    return Tried(rule=rule, variants="+".join(choice), scans=len(judged), **counts)


def _is_shaken(rule: str, probability: float, variant: float, point: OperatingPoint) -> bool:
    if rule == "turns":
        return turns(probability, variant, point.threshold)
    return point.verdict(variant) is not point.verdict(probability)


def write_judged(path: Path, judged: Sequence[Judged]) -> None:
    """Write a row a scan, with a column a variant."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {k: v for k, v in asdict(scan).items() if k != "probabilities"} | dict(scan.probabilities)
        for scan in judged
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
