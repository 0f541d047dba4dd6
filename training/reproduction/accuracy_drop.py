"""Document 004: networks that learned a medical finding, run on fakes, and how far they fall.

The document takes the fall of accuracy for a way to detect fakes. Each class has a DCGAN of its
own, fitted on that class's authentic training scans, so a fake has a class to be right or wrong
about. Authentic scans sent through the fakes' resolution show how much of a fall is forgery and
how much is blur.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.detection.card import Estimate
from app.detection.labels import Label
from app.detection.preprocessing import to_square
from app.detection.weights import LoadedDetector
from training.data.images import read_grey
from training.data.manifest import Scan, on_side
from training.data.selection import scans_for
from training.errors import NoDiagnosisError, TooFewScansError
from training.evaluation import intervals
from training.evaluation.intervals import estimate_mean, resamples
from training.evaluation.runtime import look
from training.reproduction.class_fakes import SIDE, ClassFakes, Greys
from training.reproduction.laboratory import Laboratory, Setting
from training.reproduction.outcome import Outcome, cut_in_words


@dataclass(frozen=True, slots=True)
class _Answers:
    """Whether a network was right about scans: 1 or 0 each, and whose they are; shape ``[N]``."""

    right: NDArray[np.float64]
    people: NDArray[np.str_]

    @property
    def accuracy(self) -> Estimate:
        return estimate_mean(self.right, self.people)


def accuracy_drop(setting: Setting, laboratory: Laboratory) -> Outcome:
    """Train a network on a finding, and compare its accuracy on authentic scans and on fakes.

    Returns:
        ``accuracy`` on authentic test scans, ``accuracy_on_fakes``, the ``fall`` between them, and
        ``accuracy_at_low_resolution`` of the same authentic scans at the fakes' resolution.

    Raises:
        TrainingError: A stage failed, or the config names no finding.
    """
    diagnosis = setting.system.diagnosis
    if diagnosis is None:
        raise NoDiagnosisError(setting.system.name)
    authentic = laboratory.scans(setting.dataset, with_fakes=False)
    detector = laboratory.train(setting, authentic)
    labelled = scans_for(setting.system, authentic)
    maker = ClassFakes(
        folder=laboratory.dataset_paths(setting.dataset).root / "class_fakes",
        diagnosis=diagnosis,
        output_side=setting.documented.image_size,
        seed=setting.dataset.seed,
        budget=laboratory.budget,
    )
    fakes = {label: maker.make(label, labelled) for label in Label}
    return Outcome(
        figures=_figures(detector, on_side(labelled, "test"), fakes),
        begins_from=detector.card.training["initialisation"],
        cut=cut_in_words(setting, laboratory.budget),
    )


def _figures(
    detector: LoadedDetector, test: Sequence[Scan], fakes: dict[Label, Greys]
) -> dict[str, Estimate]:
    if not test:
        raise TooFewScansError("There is no scan with an entry on the test side.")
    greys, labels = [read_grey(scan.path) for scan in test], [scan.label for scan in test]
    people = np.array([scan.person for scan in test])
    authentic = _Answers(_right(detector, greys, labels), people)
    coarse = _Answers(_right(detector, [_coarse(grey) for grey in greys], labels), people)
    right = [_right(detector, made, [label] * len(made)) for label, made in fakes.items()]
    names = np.array([f"fake/{number}" for number in range(sum(map(len, right)))])
    of_fakes = _Answers(np.concatenate(right), names)
    return {
        "accuracy": authentic.accuracy,
        "accuracy_on_fakes": of_fakes.accuracy,
        "fall": _fall(authentic, of_fakes),
        "accuracy_at_low_resolution": coarse.accuracy,
    }


def _right(detector: LoadedDetector, greys: Greys, labels: Sequence[Label]) -> NDArray[np.float64]:
    """Return 1 where the network is right about a scan's class, else 0, shape ``[N]``."""
    said = [look(detector, grey)[0] >= 0 for grey in greys]
    right = [s == (label is Label.FAKE) for s, label in zip(said, labels, strict=True)]
    return np.array(right, dtype=np.float64)


def _coarse(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Send a scan through the resolution of the fakes."""
    small = to_square(grey, SIDE).numpy()
    return np.asarray(to_square(small, max(grey.shape)).numpy(), dtype=np.float32)


def _fall(authentic: _Answers, fakes: _Answers) -> Estimate:
    """Return how far accuracy falls from authentic scans to fakes, with its 95 % interval."""
    right = np.concatenate([authentic.right, fakes.right])
    is_fake = np.arange(len(right)) >= len(authentic.right)
    people = np.concatenate([authentic.people, fakes.people])
    drawn = [
        right[at][~is_fake[at]].mean() - right[at][is_fake[at]].mean()
        for at in resamples(people, is_fake, intervals.BOOTSTRAP_ROUNDS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(
        value=float(authentic.right.mean() - fakes.right.mean()),
        low=float(low),
        high=float(high),
        note=f"{len(authentic.right)} authentic scans and {len(fakes.right)} fakes",
    )
