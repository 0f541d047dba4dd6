from pathlib import Path

import numpy as np
import pytest
import torch

from app.detection.preprocessing import preprocess
from app.engine.serving import Serving, load_serving
from app.errors import WeightsDamagedError, WeightsMissingError
from tests.factories import make_grey, publish_tiny_weights


@pytest.fixture
def serving(tiny_weights_dir: Path) -> Serving:
    return load_serving(tiny_weights_dir, "lung_ct", "cpu", 8)


def test_a_prepared_scan_is_the_shared_transform_and_remembers_its_size(serving: Serving) -> None:
    scan = make_grey(150, 90)

    waiting = serving.prepare(scan)

    assert torch.equal(waiting.image, preprocess(scan, serving.card.preprocessing))
    assert (waiting.width, waiting.height) == (150, 90)
    assert waiting.modality == "lung_ct"


def test_scans_judged_together_get_what_they_get_alone(serving: Serving) -> None:
    scans = [serving.prepare(make_grey(64 + 9 * seed, 80, seed=seed)) for seed in range(5)]

    together = serving.judge(scans)

    for scan, judgement in zip(scans, together, strict=True):
        (alone,) = serving.judge([scan])
        assert alone is not None
        assert judgement is not None
        probability = alone.finding.probability_fake
        assert judgement.finding.probability_fake == pytest.approx(probability, abs=1e-6)
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
    rows, columns = judgement.heatmap.shape
    assert rows / columns == pytest.approx(height / width, rel=0.25)


def test_weights_of_another_modality_are_refused(tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    (tmp_path / "lung_ct").rename(tmp_path / "knee_xray")
    (tmp_path / "active.toml").write_text('knee_xray = "tiny"\n')

    with pytest.raises(WeightsDamagedError, match="'lung_ct'"):
        load_serving(tmp_path, "knee_xray", "cpu", 8)


def test_without_weights_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        load_serving(tmp_path, "lung_ct", "cpu", 8)
