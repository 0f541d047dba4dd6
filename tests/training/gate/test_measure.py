from dataclasses import replace

import numpy as np
import pytest

from training.gate.collection import DRAWN, LOOKALIKE, PLAIN, VARIED, Collection
from training.gate.fit import fit_rule
from training.gate.measure import ALL_FOREIGN, ALL_SCANS, choose_threshold, fit, likeness, measure

SIDES = ("train", "train", "validation", "test")


def collection(per_kind: int = 80) -> Collection:
    """Two sources and a generator on one side of a line, three other kinds on the other."""
    rng = np.random.default_rng(0)
    kinds = [
        ("hospital_a", PLAIN, True, False, -2.0),
        ("hospital_b", PLAIN, True, False, -2.5),
        ("hospital_a", VARIED, True, False, -1.5),
        ("dcgan", PLAIN, True, True, -1.8),
        ("photograph", PLAIN, False, False, 2.0),
        ("chest", PLAIN, False, False, 1.5),
        ("blank", DRAWN, False, False, 2.5),
        ("phantom", LOOKALIKE, False, False, 1.0),
        ("coarse_scan", LOOKALIKE, True, True, -1.5),
    ]
    rows = [row for row in kinds for _ in range(per_kind)]
    features = rng.normal(0, 0.5, (len(rows), 6)).astype(np.float32)
    features[:, 0] += np.array([row[4] for row in rows], np.float32)
    side = np.array([SIDES[i % 4] for i in range(len(rows))])
    side[[row[1] == LOOKALIKE for row in rows]] = "train"
    return Collection(
        features=features,
        is_right=np.array([row[2] for row in rows]),
        is_fake=np.array([row[3] for row in rows]),
        kind=np.array([row[0] for row in rows]),
        form=np.array([row[1] for row in rows]),
        side=side,
        person=np.array([str(i) for i in range(len(rows))]),
    )


def test_the_rule_separates_what_can_be_separated() -> None:
    images = collection()

    logits = fit(images).logits(images.features)

    assert ((logits > 0) == ~images.is_right).mean() > 0.99


def test_what_is_like_nothing_that_was_fitted_is_told_by_its_distance() -> None:
    images = collection()
    rule = fit_rule(images.features, ~images.is_right)
    right = images.features[images.is_right].mean(0)
    away = np.array([0, 0, 30, 0, 0, 0], np.float32)

    here, *elsewhere = rule.logits(np.stack([right, right + away, right - away]))

    # Along a line one of the two would be as much more likely as the other is less.
    assert np.mean(elsewhere) > here + 1


def test_the_threshold_is_lenient_and_never_below_one_half() -> None:
    images = collection()
    rule = fit(images)

    threshold = choose_threshold(images, rule)

    assert 0.5 <= threshold < 1
    right = images.is_right & (images.form == PLAIN)
    logits = rule.logits(images.features)
    passing = np.array([likeness(logit) >= threshold for logit in logits[right]])
    assert passing.mean() > 0.99


def test_every_kind_has_its_figure_and_its_turn_of_being_left_out() -> None:
    images = collection()
    rule = fit(images)

    measured = measure(images, rule, 0.5)

    assert list(measured.wrongly_stopped) == [
        ALL_SCANS,
        "source hospital_a",
        "source hospital_b",
        "fakes of dcgan",
        "scans, much varied",
        "source hospital_a, never fitted",
        "source hospital_b, never fitted",
        "fakes of dcgan, never fitted",
    ]
    assert list(measured.rightly_stopped) == [
        ALL_FOREIGN,
        "chest",
        "photograph",
        "drawn: blank",
        "chest, never fitted",
        "photograph, never fitted",
        "all drawings, never fitted",
    ]
    for figure in measured.wrongly_stopped.values():
        assert figure.value == pytest.approx(0, abs=0.15)
    for figure in measured.rightly_stopped.values():
        assert figure.value == pytest.approx(1, abs=0.15)


def test_a_single_source_is_not_left_out() -> None:
    images = collection()
    only = images.kind != "hospital_b"
    images = replace(
        images, **{name: getattr(images, name)[only] for name in Collection.__dataclass_fields__}
    )

    measured = measure(images, fit(images), 0.5)

    assert "source hospital_a, never fitted" not in measured.wrongly_stopped
