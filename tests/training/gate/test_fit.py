import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from app.detection.architectures.gatekeeper import Gatekeeper
from training.gate.fit import DIRECTIONS, fit_rule, rounded, set_head

CHANNELS = 64


def two_kinds() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return features of scans and of other images, some of which never change."""
    rng = np.random.default_rng(0)
    is_foreign = np.arange(400) % 2 == 1
    features = rng.normal(0, 0.3, (400, CHANNELS)) * np.linspace(0.2, 2, CHANNELS)
    features[is_foreign, :8] += 0.6
    features[:, -1] = 0.25
    return features.astype(np.float32), is_foreign


def test_the_network_says_what_the_rule_says_also_in_half_precision() -> None:
    features, is_foreign = two_kinds()
    rule = fit_rule(features, is_foreign)
    network = Gatekeeper(nn.Conv2d(3, CHANNELS, 1), directions=DIRECTIONS)
    set_head(network, rule)

    with torch.inference_mode():
        exact = network.judge(torch.from_numpy(features)).numpy()
        rounded(network)
        published = network.judge(torch.from_numpy(features)).numpy()

    assert exact == pytest.approx(rule.logits(features), abs=1e-3)
    assert published == pytest.approx(rule.logits(features), abs=0.1)


def test_the_two_kinds_lie_on_two_sides_of_zero() -> None:
    features, is_foreign = two_kinds()

    logits = fit_rule(features, is_foreign).logits(features)

    assert ((logits > 0) == is_foreign).mean() > 0.95


@pytest.mark.parametrize("directions", [0, CHANNELS + 1])
def test_directions_that_there_cannot_be_are_refused(directions: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {CHANNELS}"):
        Gatekeeper(nn.Conv2d(3, CHANNELS, 1), directions=directions)
