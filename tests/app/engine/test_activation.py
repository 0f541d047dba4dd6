"""New weights take over without a restart; a bad candidate never does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from app.detection.labels import Verdict
from app.detection.weights import active_checkpoint
from app.engine import activation as activation_module
from app.engine.engine import InProcessEngine
from app.errors import ActivationError, VeriscanError, WeightsError
from tests.app.engine.gated import Gate, new_engine, result
from tests.factories import (
    activate,
    make_card,
    make_grey,
    operating_point_for,
    publish_tiny_gate,
    publish_tiny_weights,
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A serving checkpoint, ``old``, and a sound candidate, ``new``."""
    for name, verdict in (("new", Verdict.FAKE), ("old", Verdict.REAL)):
        point = operating_point_for(verdict)
        publish_tiny_weights(tmp_path, "lung_ct", name=name, operating_point=point)
    return tmp_path


@pytest.fixture
def serving(weights: Path) -> Iterator[InProcessEngine]:
    engine = new_engine(weights)
    engine.start()
    yield engine
    engine.stop()


def verdict_of(engine: InProcessEngine) -> Verdict:
    return result(engine.submit("lung_ct", make_grey())).finding.verdict


def spoil(weights: Path, how: str) -> None:
    """Spoil the candidate in one of the ways that happen."""
    checkpoint = weights / "lung_ct/new.safetensors"
    card = checkpoint.with_suffix(".json")
    if how == "another's weights":
        publish_tiny_weights(weights / "other", "lung_ct", seed=9)
        checkpoint.write_bytes((weights / "other/lung_ct/tiny.safetensors").read_bytes())
    elif how == "of another modality":
        publish_tiny_weights(weights / "other", "knee_xray", name="new")
        for suffix in (".json", ".safetensors"):
            foreign = weights / "other" / "knee_xray" / f"new{suffix}"
            checkpoint.with_suffix(suffix).write_bytes(foreign.read_bytes())
    elif how == "no numbers":
        publish_without_numbers(weights)
    elif how == "gate damaged":
        publish_tiny_gate(weights, "lung_ct", lets_pass=True)
        (weights / "lung_ct/gate.safetensors").write_bytes(b"?")
    else:
        damage: dict[str, Callable[[], object]] = {
            "checkpoint gone": checkpoint.unlink,
            "half written": lambda: checkpoint.write_bytes(checkpoint.read_bytes()[:1000]),
            "card gone": card.unlink,
            "card damaged": lambda: card.write_text("{"),
            "another's card": lambda: card.write_text(card.with_stem("old").read_text()),
        }
        damage[how]()


def publish_without_numbers(weights: Path) -> None:
    """Publish a checkpoint that fits its card and computes nothing."""
    checkpoint = weights / "lung_ct/new.safetensors"
    tensors = safetensors.torch.load(checkpoint.read_bytes())
    data = safetensors.torch.save(
        {
            key: torch.full_like(t, torch.nan) if t.is_floating_point() else t
            for key, t in tensors.items()
        }
    )
    publish_tiny_weights(weights, "lung_ct", name="new", sha256=sha256(data).hexdigest())
    checkpoint.write_bytes(data)
    activate(weights, {"lung_ct": "old"})


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("checkpoint gone", "No weights"),
        ("half written", "SHA-256"),
        ("another's weights", "SHA-256"),
        ("card gone", "No weights"),
        ("card damaged", "card"),
        ("another's card", "card of 'old'"),
        ("of another modality", "'knee_xray'"),
        ("no numbers", "no number"),
        ("gate damaged", "'gate'"),
    ],
)
def test_a_bad_candidate_never_becomes_active(
    serving: InProcessEngine, weights: Path, how: str, says: str
) -> None:
    spoil(weights, how)

    with pytest.raises(WeightsError, match=says):
        serving.activate("lung_ct", "new")

    assert verdict_of(serving) is Verdict.REAL
    assert active_checkpoint(weights, "lung_ct").stem == "old"


@pytest.mark.parametrize("how", ["card damaged", "another's card", "of another modality"])
def test_the_list_of_candidates_says_what_is_wrong_with_a_card(
    serving: InProcessEngine, weights: Path, how: str
) -> None:
    spoil(weights, how)

    new, old = serving.candidates("lung_ct")

    assert (new.name, old.name) == ("new", "old")
    assert new.problem
    assert not new.is_active
    assert old.problem is None
    assert old.is_active


def test_where_the_choice_cannot_be_written_down_the_former_serves(
    serving: InProcessEngine, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(activation_module, "write_atomically", full)

    with pytest.raises(ActivationError, match=r"active\.toml cannot be written .No space left"):
        serving.activate("lung_ct", "new")

    assert verdict_of(serving) is Verdict.REAL
    assert active_checkpoint(weights, "lung_ct").stem == "old"


def test_choosing_for_one_modality_leaves_the_others_as_they_are(
    serving: InProcessEngine, weights: Path
) -> None:
    publish_tiny_weights(weights, "knee_xray")

    serving.activate("lung_ct", "new")

    assert active_checkpoint(weights, "knee_xray").stem == "tiny"
    assert active_checkpoint(weights, "lung_ct").stem == "new"


def test_a_modality_that_was_unavailable_can_be_served_by_a_sound_checkpoint(
    weights: Path,
) -> None:
    (weights / "lung_ct/old.safetensors").write_bytes(b"damaged")
    engine = new_engine(weights)
    engine.start()
    with pytest.raises(VeriscanError):
        verdict_of(engine)

    engine.activate("lung_ct", "new")

    assert verdict_of(engine) is Verdict.FAKE
    engine.stop()


def test_a_scan_that_is_in_flight_is_finished_by_the_network_that_took_it(
    weights: Path, gate: Gate
) -> None:
    engine = new_engine(weights)
    engine.start()
    gate.close()
    running = engine.submit("lung_ct", make_grey())
    gate.wait_for_arrival()
    waiting = engine.submit("lung_ct", make_grey(seed=1))
    gate.open()

    engine.activate("lung_ct", "new")

    assert result(running).finding.weights_name == "old"
    assert result(waiting).finding.weights_name == "old"
    assert result(engine.submit("lung_ct", make_grey())).finding.weights_name == "new"
    engine.stop()


def test_networks_of_different_sizes_follow_each_other(
    serving: InProcessEngine, weights: Path
) -> None:
    larger = replace(make_card().preprocessing, image_size=96)
    publish_tiny_weights(weights, "lung_ct", name="larger", preprocessing=larger)
    before = [serving.submit("lung_ct", make_grey(seed=seed)) for seed in range(5)]

    serving.activate("lung_ct", "larger")

    after = result(serving.submit("lung_ct", make_grey()))
    assert {result(future).finding.weights_name for future in before} == {"old"}
    assert after.finding.weights_name == "larger"
    assert after.heatmap is not None
    assert np.isfinite(after.heatmap).all()
