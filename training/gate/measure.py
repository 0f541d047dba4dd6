"""How good a gate is: on images that were held out, and on kinds that fitting never saw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.detection.card import Estimate
from training.evaluation.intervals import estimate_mean
from training.gate.collection import DRAWN, LOOKALIKE, PLAIN, VARIED, Collection
from training.gate.drawn import DRAWN_WITH_PICTURES
from training.gate.fit import Rule, fit_rule

STOPPED_OF_FOREIGN = 0.99
STOPPED_OF_RIGHT = 0.005
ALL_SCANS = "authentic scans"
ALL_FOREIGN = "all other images"
LEAST_FOR_LEAVING_OUT = 10

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Shares of images that are stopped, by kind, in the order in which they are told."""

    wrongly_stopped: Mapping[str, Estimate]
    rightly_stopped: Mapping[str, Estimate]


def fit(collection: Collection, without: Mask | None = None) -> Rule:
    """Fit a rule to the training side.

    Args:
        collection: All images.
        without: Of which images fitting sees nothing, shape ``[N]``.
    """
    chosen = collection.side == "train"
    if without is not None:
        chosen &= ~without
    return fit_rule(collection.features[chosen], ~collection.is_right[chosen])


def choose_threshold(collection: Collection, rule: Rule) -> float:
    """Choose the least likeness that passes, on the validation side.

    As lenient as stopping 99 % of the other images allows, and never so strict that more than one
    scan in two hundred is stopped.

    Returns:
        A likeness in [0.5, 1).
    """
    held = (collection.side == "validation") & (collection.form != LOOKALIKE)
    logits = rule.logits(collection.features)
    foreign = logits[held & ~collection.is_right]
    right = logits[held & collection.is_right & (collection.form == PLAIN)]
    strict = float(np.quantile(foreign, 1 - STOPPED_OF_FOREIGN))
    lenient = float(np.quantile(right, 1 - STOPPED_OF_RIGHT))
    return likeness(min(max(strict, lenient), 0.0))


def likeness(logit: float) -> float:
    """Return the likeness in (0, 1) of a logit that is positive towards other images."""
    return float(1 / (1 + np.exp(logit)))


def measure(collection: Collection, rule: Rule, threshold: float) -> Measured:
    """Measure a gate on the test side, and the same recipe on kinds that it has not seen.

    For each source, generator and kind of image the rule is fitted once more without it, and those
    images, whatever their side, meet the published threshold.
    """
    stopped = _stopped(collection, rule, threshold)
    groups = _groups(collection)
    shares = {
        True: {name: _share(collection, stopped, of) for name, of in groups[True].items()},
        False: {name: _share(collection, stopped, of) for name, of in groups[False].items()},
    }
    for turn in tqdm(list(_turns(collection)), desc="leaving out", unit="kind"):
        # Fakes were made of scans of the source, or by generators that had learned from it.
        drops_fakes = turn.is_right and not collection.is_fake[turn.unseen].any()
        unseen = turn.unseen | collection.is_fake if drops_fakes else turn.unseen
        without = fit(collection, without=unseen)
        stopped = _stopped(collection, without, threshold)
        of = turn.unseen & np.isin(collection.form, [PLAIN, DRAWN])
        shares[turn.is_right][f"{turn.name}, never fitted"] = _share(collection, stopped, of)
    return Measured(wrongly_stopped=shares[True], rightly_stopped=shares[False])


def _stopped(collection: Collection, rule: Rule, threshold: float) -> NDArray[np.float64]:
    likenesses = 1 / (1 + np.exp(np.clip(rule.logits(collection.features), -60, 60)))
    return (likenesses < threshold).astype(np.float64)


def _share(collection: Collection, stopped: NDArray[np.float64], of: Mask) -> Estimate:
    return estimate_mean(stopped[of], collection.person[of])


def _groups(c: Collection) -> dict[bool, dict[str, Mask]]:
    """Return which images of the test side each figure is about; first scans, then others."""
    test = c.side == "test"
    plain, varied = test & (c.form == PLAIN), test & (c.form == VARIED)
    scans = c.is_right & ~c.is_fake
    right = {ALL_SCANS: plain & scans}
    right |= {f"source {k}": plain & scans & (c.kind == k) for k in _kinds(c, scans)}
    right |= {f"fakes of {k}": plain & c.is_fake & (c.kind == k) for k in _kinds(c, c.is_fake)}
    right["scans, much varied"] = varied & scans
    others = ~c.is_right & (c.form != DRAWN)
    foreign = {ALL_FOREIGN: test & ~c.is_right & (c.form != VARIED)}
    foreign |= {k: plain & others & (c.kind == k) for k in _kinds(c, others & (c.form == PLAIN))}
    drawings = test & (c.form == DRAWN)
    foreign |= {f"drawn: {k}": drawings & (c.kind == k) for k in _kinds(c, drawings)}
    foreign["other images, much varied"] = varied & ~c.is_right
    return {True: _present(right), False: _present(foreign)}


@dataclass(frozen=True, slots=True)
class _Turn:
    """A kind that is left out: what fitting does not see, and what is measured then."""

    name: str
    is_right: bool
    unseen: Mask


def _turns(c: Collection) -> Iterator[_Turn]:
    scans, shown = c.is_right & ~c.is_fake, np.isin(c.form, [PLAIN, DRAWN])
    for kind in _kinds(c, scans):
        of = scans & (c.kind == kind)
        is_enough = (of & shown).sum() >= LEAST_FOR_LEAVING_OUT
        if is_enough and (scans & ~of & (c.side == "train")).any():
            yield _Turn(f"source {kind}", is_right=True, unseen=of)
    for kind in _kinds(c, c.is_fake & shown):
        yield _Turn(f"fakes of {kind}", is_right=True, unseen=c.is_fake & (c.kind == kind))
    for kind in _kinds(c, ~c.is_right & (c.form == PLAIN)):
        # What was drawn with pictures of the kind would show it after all.
        shows_it = (c.form == LOOKALIKE) & (c.kind == DRAWN_WITH_PICTURES)
        yield _Turn(kind, is_right=False, unseen=(~c.is_right & (c.kind == kind)) | shows_it)
    drawings = ~c.is_right & np.isin(c.form, [DRAWN, LOOKALIKE])
    yield _Turn("all drawings", is_right=False, unseen=drawings)


def _kinds(c: Collection, of: Mask) -> list[str]:
    return sorted(set(c.kind[of].tolist()))


def _present(groups: dict[str, Mask]) -> dict[str, Mask]:
    return {name: of for name, of in groups.items() if of.any()}
