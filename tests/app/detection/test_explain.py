import numpy as np
import pytest

from app.detection.explain import heatmap
from app.detection.verdict import OperatingPoint

POINT = OperatingPoint(temperature=2.0, bias=1.0, threshold=0.6, inconclusive_band=(0.3, 0.7))


def test_cells_below_the_threshold_are_left_empty() -> None:
    logits = np.array([[-50, 0], [1, 1.8]], np.float32)

    assert not heatmap(logits, POINT).any()


def test_a_cell_shows_how_far_its_probability_is_above_the_threshold() -> None:
    logits = np.array([[3.0]], np.float32)

    shown = heatmap(logits, POINT)

    assert shown[0, 0] == pytest.approx((POINT.probability(3.0) - 0.6) / 0.4, abs=1e-6)


def test_more_evidence_is_never_drawn_fainter() -> None:
    shown = heatmap(np.linspace(-80, 80, 321, dtype=np.float32)[None], POINT)[0]

    assert (np.diff(shown) >= 0).all()
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(1)


def test_huge_logits_overflow_nothing() -> None:
    shown = heatmap(np.array([[-1e30, 1e30]], np.float32), POINT)

    assert shown[0].tolist() == pytest.approx([0, 1])
    assert shown.dtype == np.float32


def test_a_threshold_of_certainty_divides_by_nothing() -> None:
    point = OperatingPoint(temperature=1, bias=0, threshold=1, inconclusive_band=(0.5, 1))

    assert np.isfinite(heatmap(np.array([[0, 100]], np.float32), point)).all()


def test_a_scan_that_is_called_real_has_an_empty_map_whatever_its_cells_say() -> None:
    logits = np.array([[-3, 9], [0, 4]], np.float32)

    assert not heatmap(logits, POINT, 0.29).any()


def test_no_cell_is_drawn_stronger_than_the_scan_as_a_whole() -> None:
    logits = np.array([[-3, 9], [0, 4]], np.float32)
    alone = heatmap(logits, POINT)

    faint, strong = heatmap(logits, POINT, 0.37), heatmap(logits, POINT, 1.0)

    assert faint.max() == pytest.approx((0.37 - 0.3) / 0.7, abs=1e-6)
    assert (faint <= alone).all()
    assert np.array_equal(strong, alone)
