import math
from pathlib import Path

import numpy as np
import pytest

from tests.factories import dicom_bytes, jpeg_bytes, png16_bytes, png_bytes
from training.data.probe import (
    LIMIT,
    TOGETHER,
    Finding,
    file_columns,
    image_columns,
    probe,
    without,
)


def findings_of(
    fakes: list[float], reals: list[float], groups: list[object] | None = None
) -> dict[str, Finding]:
    values = fakes + reals
    rows = [{"figure": value} for value in values]
    is_fake = [True] * len(fakes) + [False] * len(reals)
    found = probe(rows, is_fake, groups or list(range(len(values))))
    return {finding.column: finding for finding in found}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_parts_the_classes_is_a_shortcut_whichever_is_larger(sign: int) -> None:
    rng = np.random.default_rng(0)
    fakes, reals = rng.normal(sign, 0.2, 30), rng.normal(0, 0.2, 30)

    found = findings_of(fakes.tolist(), reals.tolist())

    assert found["figure"].auc == pytest.approx(1)
    assert found["figure"].is_shortcut
    assert found[TOGETHER].is_shortcut


def test_chance_is_no_shortcut() -> None:
    rng = np.random.default_rng(0)

    found = findings_of(rng.random(200).tolist(), rng.random(200).tolist())

    assert not any(finding.is_shortcut for finding in found.values())


def test_the_limit_is_wider_for_few_scans_and_near_the_stated_one_for_many() -> None:
    few = findings_of([0.0] * 4, [1.0] * 4)["figure"]
    many = findings_of([0.0] * 4000, [1.0] * 4000)["figure"]

    assert LIMIT < many.limit < LIMIT + 0.015
    assert few.limit == pytest.approx(LIMIT + 1.645 * math.sqrt(9 / (12 * 16)))
    assert few.is_shortcut  # parted without an exception: eight scans are enough for that


def test_three_of_each_prove_nothing() -> None:
    assert not findings_of([0.0] * 3, [1.0] * 3)["figure"].is_shortcut


def test_columns_that_tell_only_together_are_found() -> None:
    """Neither figure is larger in one class, but fakes lie off the diagonal."""
    rng = np.random.default_rng(0)
    base = rng.random(200)
    fakes, reals = 1 - base[:100] + 0, base[100:]
    rows = [{"a": float(x), "b": float(1 - x)} for x in fakes]
    rows += [{"a": float(x), "b": float(x)} for x in reals]

    found = {f.column: f for f in probe(rows, [True] * 100 + [False] * 100, range(200))}

    assert not found["a"].is_shortcut
    assert found[TOGETHER].is_shortcut


def test_a_patient_is_not_on_both_sides_of_the_forest() -> None:
    """Ten people with figures of their own, each in one class: nothing to learn for the next."""
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(40), 10)
    figures = rng.random(40)[people] + rng.normal(0, 1e-4, 400)
    is_fake = (people % 2).astype(bool)

    found = {
        f.column: f for f in probe([{"a": float(v)} for v in figures], list(is_fake), list(people))
    }

    alone = {
        f.column: f for f in probe([{"a": float(v)} for v in figures], list(is_fake), range(400))
    }
    assert (alone[TOGETHER].auc or 0) > 0.9
    assert (found[TOGETHER].auc or 0) < 0.75


def test_one_class_has_no_figures() -> None:
    assert findings_of([], [1.0, 2.0]) == {"figure": Finding(column="figure", auc=None)}
    assert "undefined" in str(Finding(column="figure", auc=None))
    assert probe([], [], []) == []


def test_words_are_compared_as_words() -> None:
    rows = [{"format": "PNG"}] * 10 + [{"format": "JPEG"}] * 10

    found = probe(rows, [True] * 10 + [False] * 10, range(20))

    assert found[0].auc == 1.0


def test_a_column_that_some_lack_is_left_out() -> None:
    found = probe([{"a": 1.0, "b": 2.0}, {"a": 1.0}], [True, False], range(2))

    assert [finding.column for finding in found] == ["a", TOGETHER]


def test_columns_can_be_left_out() -> None:
    assert without([{"a": 1.0, "b": 2.0}], ["b", "none"]) == [{"a": 1.0}]


# --- columns --------------------------------------------------------------------------------


def test_the_figures_of_an_image_are_those_of_its_rim_and_its_grey_values() -> None:
    grey = np.full((64, 96), 0.5, np.float32)
    grey[:2], grey[-2:], grey[:, :2], grey[:, -2:] = 1, 1, 1, 1

    found = image_columns(grey)

    assert found["border"] == 1.0
    assert found["mean"] == pytest.approx(float(grey.mean()))
    assert found["variance"] == pytest.approx(float(grey.var()))
    assert found["corners"] == pytest.approx(0.5 + 0.5 * 12 / 16)


def test_noise_takes_more_bytes_than_a_smooth_image() -> None:
    rng = np.random.default_rng(0)
    noisy = image_columns(rng.random((64, 64)).astype(np.float32))
    smooth = image_columns(np.full((64, 64), 0.5, np.float32))

    assert float(noisy["file_size"]) > 0.9
    assert float(smooth["file_size"]) < 0.1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png_bytes(), {"file_format": "PNG", "mode": "L", "quantisation": 0.0}),
        (png_bytes(mode="RGB"), {"file_format": "PNG", "mode": "RGB"}),
        (png16_bytes(), {"mode": "I;16"}),
        (jpeg_bytes(), {"file_format": "JPEG", "width": 96.0, "height": 80.0}),
        (dicom_bytes(), {"file_format": "DICOM"}),
        (b"nothing", {"file_format": ".scan"}),
    ],
)
def test_files_are_told_by_their_headers(
    tmp_path: Path, data: bytes, expected: dict[str, object]
) -> None:
    (tmp_path / "a.scan").write_bytes(data)

    found = file_columns(tmp_path / "a.scan")

    assert {name: found[name] for name in expected} == expected


def test_stronger_compression_has_larger_steps(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes())

    assert float(file_columns(tmp_path / "a.jpg")["quantisation"]) > 1
