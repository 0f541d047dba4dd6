import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from app.detection.gate import check_gate, gate_finding, thumbnail
from app.detection.gate_card import GateCard, read_gate_card
from app.errors import CardInvalidError, WeightsDamagedError
from tests.factories import make_gate_card, publish_tiny_gate


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    card = make_gate_card(training={"seed": 1})
    path.write_text(card.to_json(), encoding="utf-8")

    assert read_gate_card(path) == card


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(GateCard)])
def test_a_card_without_one_of_its_fields_is_refused(tmp_path: Path, field: str) -> None:
    raw = json.loads(make_gate_card().to_json())
    del raw[field]
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(raw), encoding="utf-8")

    if field in ("training", "version"):  # these have defaults
        assert read_gate_card(path).modality == "lung_ct"
    else:
        with pytest.raises(CardInvalidError, match=field):
            read_gate_card(path)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("threshold", 1.5, "threshold must be from 0 to 1"),
        ("threshold", "high", "'threshold' in GateCard"),
        ("version", 2, "card version 2"),
        ("colour", "blue", "unknown field 'colour'"),
        ("preprocessing", {}, "is missing"),
        ("wrongly_stopped", {"x": {}}, "is missing"),
    ],
)
def test_a_card_with_a_wrong_value_is_refused(
    tmp_path: Path, field: str, value: object, says: str
) -> None:
    path = tmp_path / "gate.json"
    raw = json.loads(make_gate_card().to_json()) | {field: value}
    path.write_text(json.dumps(raw), encoding="utf-8")

    with pytest.raises(CardInvalidError, match=says):
        read_gate_card(path)


def test_a_thumbnail_ignores_the_aspect_ratio_and_keeps_the_range() -> None:
    checker = (np.indices((300, 120)).sum(0) % 2).astype(np.float32)

    small = thumbnail(checker, 32)

    assert small.shape == (32, 32)
    assert small.min() >= 0
    assert small.max() <= 1
    assert torch.allclose(small[4:-4, 4:-4], torch.tensor(0.5), atol=0.02)


@pytest.mark.parametrize("logit", [-1e9, -3.0, 0.0, 2.5, 1e9])
def test_likeness_falls_with_the_logit_and_never_overflows(logit: float) -> None:
    card = make_gate_card(threshold=0.5)

    found = gate_finding(logit, card, is_overridden=False)

    assert found.likeness == pytest.approx(1 / (1 + math.exp(min(max(logit, -60), 60))))
    assert found.looks_right == (logit <= 0)
    assert found.stops == (logit > 0)


def test_an_override_lets_pass_but_does_not_make_it_look_right() -> None:
    found = gate_finding(5.0, make_gate_card(), is_overridden=True)

    assert not found.stops
    assert not found.looks_right


def test_without_a_gate_there_is_none(tmp_path: Path) -> None:
    assert check_gate(tmp_path, "lung_ct") is None


def test_a_gate_is_loaded_ready_to_serve(tmp_path: Path) -> None:
    card = publish_tiny_gate(tmp_path, "lung_ct", lets_pass=True)

    gate = check_gate(tmp_path, "lung_ct")

    assert gate is not None
    assert gate.card == card
    network = gate.build_network()
    assert not network.training
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_a_gate_of_another_preprocessing_is_refused(tmp_path: Path) -> None:
    spec = dataclasses.replace(make_gate_card().preprocessing, version=99)
    publish_tiny_gate(tmp_path, "lung_ct", lets_pass=True, preprocessing=spec)

    with pytest.raises(WeightsDamagedError, match="version 99"):
        check_gate(tmp_path, "lung_ct")
