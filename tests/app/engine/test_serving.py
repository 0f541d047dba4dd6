from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

from app.detection.card import ArchitectureSpec
from app.detection.labels import Verdict
from app.detection.preprocessing import normalise, preprocess
from app.detection.stability import VARIANTS
from app.detection.verdict import OperatingPoint
from app.engine.backends import Machine
from app.engine.protocol import CPU, Judgement
from app.engine.serving import Serving, load_serving
from app.errors import CardInvalidError, WeightsDamagedError, WeightsMissingError
from tests.factories import (
    make_grey,
    operating_point_for,
    publish_tiny_gate,
    publish_tiny_weights,
)

ON_CPU = Machine(device=CPU)


@pytest.fixture
def serving(tiny_weights_dir: Path) -> Serving:
    return load_serving(tiny_weights_dir, "lung_ct", ON_CPU)


def test_a_prepared_scan_is_the_shared_transform_and_remembers_its_size(serving: Serving) -> None:
    scan = make_grey(150, 90)

    waiting = serving.prepare(scan)

    prepared = normalise(waiting.square, serving.card.preprocessing)
    assert torch.equal(prepared, preprocess(scan, serving.card.preprocessing))
    assert (waiting.width, waiting.height) == (150, 90)
    assert waiting.serving is serving


def test_scans_judged_together_get_what_they_get_alone(serving: Serving) -> None:
    scans = [serving.prepare(make_grey(64 + 9 * seed, 80, seed=seed)) for seed in range(5)]

    together = serving.judge(scans)

    for scan, judgement in zip(scans, together, strict=True):
        (alone,) = serving.judge([scan])
        assert alone is not None
        assert judgement is not None
        probability = alone.finding.probability_fake
        assert judgement.finding.probability_fake == pytest.approx(probability, abs=1e-6)
        assert judgement.heatmap is not None
        assert alone.heatmap is not None
        assert np.allclose(judgement.heatmap, alone.heatmap, atol=1e-6)


def test_a_scan_without_a_number_gets_no_judgement_and_its_neighbour_does(
    serving: Serving,
) -> None:
    poisoned = serving.prepare(np.full((80, 80), np.nan, np.float32))

    first, second = serving.judge([poisoned, serving.prepare(make_grey())])

    assert first is None
    assert second is not None


@pytest.mark.parametrize(("width", "height"), [(64, 64), (200, 100), (64, 640)])
def test_the_heatmap_covers_the_scan_and_not_its_padding(
    serving: Serving, width: int, height: int
) -> None:
    (judgement,) = serving.judge([serving.prepare(make_grey(width, height))])

    assert judgement is not None
    assert judgement.heatmap is not None
    rows, columns = judgement.heatmap.shape
    assert rows / columns == pytest.approx(height / width, rel=0.25)


def test_weights_of_another_modality_are_refused(tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    (tmp_path / "lung_ct").rename(tmp_path / "knee_xray")
    (tmp_path / "active.toml").write_text('knee_xray = "tiny"\n')

    with pytest.raises(WeightsDamagedError, match="'lung_ct'"):
        load_serving(tmp_path, "knee_xray", ON_CPU)


def test_without_weights_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        load_serving(tmp_path, "lung_ct", ON_CPU)


# --- the gate -------------------------------------------------------------------------------


def gated(folder: Path, *, lets_pass: bool) -> Serving:
    publish_tiny_weights(folder, "lung_ct", operating_point=operating_point_for(Verdict.FAKE))
    publish_tiny_gate(folder, "lung_ct", lets_pass=lets_pass)
    return load_serving(folder, "lung_ct", ON_CPU)


def judged(serving: Serving, *, override_gate: bool = False) -> Judgement:
    (judgement,) = serving.judge([serving.prepare(make_grey(), override_gate=override_gate)])
    assert judgement is not None
    return judgement


def test_without_a_gate_any_image_is_judged_and_the_finding_says_there_was_none(
    serving: Serving,
) -> None:
    assert serving.gate is None
    assert judged(serving).finding.gate is None


def test_what_the_gate_lets_pass_is_judged(tmp_path: Path) -> None:
    finding = judged(gated(tmp_path, lets_pass=True)).finding

    assert finding.verdict is Verdict.FAKE
    assert finding.gate is not None
    assert finding.gate.looks_right


def test_what_the_gate_stops_never_reaches_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = gated(tmp_path, lets_pass=False)

    def refuse(_images: torch.Tensor) -> NoReturn:
        pytest.fail("the network was asked")

    monkeypatch.setattr(serving.backend, "run", refuse)

    judgement = judged(serving)

    assert judgement.finding.verdict is Verdict.NOT_JUDGED
    assert judgement.finding.probability_fake is None
    assert judgement.heatmap is None
    assert judgement.finding.gate is not None
    assert judgement.finding.gate.stops


def test_a_stopped_scan_is_judged_when_its_sender_insists(tmp_path: Path) -> None:
    finding = judged(gated(tmp_path, lets_pass=False), override_gate=True).finding

    assert finding.verdict is Verdict.FAKE
    assert finding.gate is not None
    assert finding.gate.is_overridden
    assert not finding.gate.looks_right


def test_stopped_and_judged_scans_of_a_batch_keep_their_places(tmp_path: Path) -> None:
    serving = gated(tmp_path, lets_pass=False)
    wishes = [False, True, False, True, True]
    scans = [
        serving.prepare(make_grey(seed=i), override_gate=wish) for i, wish in enumerate(wishes)
    ]

    verdicts = [j and j.finding.verdict for j in serving.judge(scans)]

    assert verdicts == [Verdict.FAKE if wish else Verdict.NOT_JUDGED for wish in wishes]


@pytest.mark.parametrize("wish", [True, False])
def test_a_scan_that_is_no_number_to_the_gate_gets_no_judgement(
    tmp_path: Path, *, wish: bool
) -> None:
    serving = gated(tmp_path, lets_pass=True)
    poisoned = np.full((80, 80), np.nan, np.float32)

    assert serving.judge([serving.prepare(poisoned, override_gate=wish)]) == [None]


def test_a_damaged_gate_is_refused_rather_than_done_without(tmp_path: Path) -> None:
    gated(tmp_path, lets_pass=True)
    weights = tmp_path / "lung_ct" / "gate.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")

    with pytest.raises(WeightsDamagedError, match="'gate' are refused: the file's SHA-256"):
        load_serving(tmp_path, "lung_ct", ON_CPU)


def test_a_gate_whose_weights_are_gone_is_refused(tmp_path: Path) -> None:
    gated(tmp_path, lets_pass=True)
    (tmp_path / "lung_ct" / "gate.safetensors").unlink()

    with pytest.raises(WeightsMissingError):
        load_serving(tmp_path, "lung_ct", ON_CPU)


@pytest.mark.parametrize("card", ["", "{}", "[]", '{"threshold": 2}'])
def test_a_gate_with_a_broken_card_is_refused(tmp_path: Path, card: str) -> None:
    gated(tmp_path, lets_pass=True)
    (tmp_path / "lung_ct" / "gate.json").write_text(card)

    with pytest.raises(CardInvalidError):
        load_serving(tmp_path, "lung_ct", ON_CPU)


def test_a_gate_of_another_modality_is_refused(tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    publish_tiny_gate(tmp_path, "knee_xray", lets_pass=True)
    for file in ("gate.json", "gate.safetensors"):
        (tmp_path / "knee_xray" / file).rename(tmp_path / "lung_ct" / file)

    with pytest.raises(WeightsDamagedError, match="'knee_xray'"):
        load_serving(tmp_path, "lung_ct", ON_CPU)


# --- stability ------------------------------------------------------------------------------


def test_a_verdict_is_tried_on_variants_of_the_scan(tmp_path: Path) -> None:
    finding = judged(gated(tmp_path, lets_pass=True)).finding

    assert finding.stability is not None
    assert set(finding.stability.probabilities) == set(VARIANTS)
    assert finding.stability.is_stable


def test_a_network_that_sees_mirror_images_tries_the_other_variants(tmp_path: Path) -> None:
    spec = ArchitectureSpec(
        name="efficientnet_b4", arguments={"image_size": 64, "sharpness": 1.0, "mirrored": True}
    )
    point = operating_point_for(Verdict.FAKE)
    publish_tiny_weights(tmp_path, "lung_ct", architecture=spec, operating_point=point)

    finding = judged(load_serving(tmp_path, "lung_ct", ON_CPU)).finding

    assert finding.stability is not None
    assert set(finding.stability.probabilities) == set(VARIANTS) - {"mirrored"}
    assert finding.stability.is_stable


def test_a_scan_without_a_verdict_is_not_tried(tmp_path: Path) -> None:
    point = operating_point_for(Verdict.INCONCLUSIVE)
    publish_tiny_weights(tmp_path, "lung_ct", operating_point=point)

    finding = judged(load_serving(tmp_path, "lung_ct", ON_CPU)).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.stability is None


def test_a_verdict_that_a_variant_turns_is_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    scan = make_grey()
    plain = load_serving(tmp_path, "lung_ct", ON_CPU)
    before = judged(plain).finding.probability_fake
    assert before is not None
    # Between what the network says of the scan and of its negative there is room for a threshold.
    monkeypatch.setattr("app.detection.stability.VARIANTS", {"negative": lambda square: 1 - square})
    negative = plain.judge([plain.prepare(1 - scan)])[0]
    assert negative is not None
    after = negative.finding.probability_fake
    assert after is not None
    middle = (before + after) / 2
    point = OperatingPoint(
        temperature=1.0, bias=0.0, threshold=middle, inconclusive_band=(middle, middle)
    )
    publish_tiny_weights(tmp_path, "lung_ct", operating_point=point)

    finding = judged(load_serving(tmp_path, "lung_ct", ON_CPU)).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.stability is not None
    assert not finding.stability.is_stable
    assert "would call this scan" in finding.reasons[0]
    assert "negative" in finding.reasons[0]


def test_a_variant_without_a_number_confirms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = gated(tmp_path, lets_pass=True)
    monkeypatch.setattr(
        "app.detection.stability.VARIANTS", {"broken": lambda square: square * np.nan}
    )

    finding = judged(serving).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.stability is not None
    assert not finding.stability.is_stable
    assert "changed harmlessly" in finding.reasons[0]
