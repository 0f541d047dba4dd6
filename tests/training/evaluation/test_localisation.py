from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from tests.training.lab import a_scan
from training.data.images import write_grey
from training.data.manifest import Scan
from training.evaluation.localisation import (
    EDIT_RADIUS_PIXELS,
    AnnotationError,
    lit,
    localise,
    over_scan,
    read_mask,
)
from training.fakes.sites import Sites

SHAPE = (64, 96)
POINT = OperatingPoint(temperature=1, bias=0, threshold=0.5, inconclusive_band=(0.3, 0.7))


def evidence_at(row: int, column: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Cells of 8 pixels, one of them for fake."""
    cells = np.full((8, 12), -4, dtype=np.float32)
    cells[row, column] = 4
    return cells


def a_fake(folder: Path, rows: slice, columns: slice, shape: tuple[int, int] = SHAPE) -> Scan:
    mask = np.zeros(shape, dtype=np.float32)
    mask[rows, columns] = 1
    write_grey(folder / "mask.png", mask)
    return a_scan(label=Label.FAKE, mask=str(folder / "mask.png"))


def test_an_edit_is_measured_from_its_mask(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56))

    found = localise(scan, evidence_at(2, 5), SHAPE, POINT)

    assert found.peak_in_mask == "1"
    assert found.edit_pixels == 8 * 16
    assert found.edit_share == pytest.approx(8 * 16 / (64 * 96))
    assert found.edit_box == "40 16 55 23"


@pytest.mark.parametrize(("row", "column", "inside"), [(2, 5, "1"), (2, 7, "0"), (5, 2, "0")])
def test_the_pointing_game_looks_where_evidence_is_strongest(
    tmp_path: Path, row: int, column: int, inside: str
) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56))

    assert localise(scan, evidence_at(row, column), SHAPE, POINT).peak_in_mask == inside


def test_iou_compares_the_mask_with_what_is_lit(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56))
    evidence = evidence_at(2, 5)
    shown = lit(evidence, SHAPE, POINT)
    mask = read_mask(scan, SHAPE)

    iou = localise(scan, evidence, SHAPE, POINT).iou

    assert iou is not None
    assert iou == pytest.approx((mask & shown).sum() / (mask | shown).sum())
    assert 0.2 < iou < 0.6


def test_iou_is_whole_where_the_heatmap_lights_the_edit_and_nothing_else(tmp_path: Path) -> None:
    evidence = evidence_at(2, 5)
    mask = lit(evidence, SHAPE, POINT)
    write_grey(tmp_path / "mask.png", mask.astype(np.float32))
    scan = a_scan(label=Label.FAKE, mask=str(tmp_path / "mask.png"))

    assert localise(scan, evidence, SHAPE, POINT).iou == 1


def test_iou_is_zero_and_not_undefined_where_nothing_is_lit(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56))
    dark = np.full((8, 12), -4, dtype=np.float32)

    assert localise(scan, dark, SHAPE, POINT).iou == 0


def test_the_threshold_of_the_detector_decides_what_is_lit() -> None:
    evidence = np.full((8, 12), 1, dtype=np.float32)  # a probability of 0.73
    strict = OperatingPoint(temperature=1, bias=0, threshold=0.8, inconclusive_band=(0.3, 0.9))

    assert lit(evidence, SHAPE, POINT).all()
    assert not lit(evidence, SHAPE, strict).any()


def sites(*, structures: list[tuple[int, int]], plain: list[tuple[int, int]]) -> Sites:
    """Sites at these rows and columns."""
    as_points = [np.array(points, dtype=np.intp).reshape(-1, 2) for points in (structures, plain)]
    return Sites(structures=as_points[0], plain=as_points[1])


LIT, DARK = (20, 44), (52, 12)


@pytest.mark.parametrize(
    ("row", "structures", "plain", "auc"),
    [
        (2, [DARK], [DARK], 1.0),
        (6, [LIT], [LIT], 0.0),
        (6, [LIT], [DARK], 0.25),
        (6, [LIT], [LIT, DARK, DARK, DARK], 0.1875),
        (6, [], [DARK, LIT], 0.25),
        (2, [DARK], [LIT, (22, 40)], 1.0),
        (2, [], [LIT], None),
        (2, [], [], None),
    ],
    ids=[
        "above both",
        "below both",
        "a tie is a half",
        "structures and plain tissue weigh alike",
        "only plain tissue",
        "what overlaps the edit is not compared",
        "nothing else than the edit",
        "no sites",
    ],
)
def test_the_patch_auc_compares_the_edit_with_places_that_nobody_touched(
    tmp_path: Path,
    row: int,
    structures: list[tuple[int, int]],
    plain: list[tuple[int, int]],
    auc: float | None,
) -> None:
    """The edit lies where evidence is (row 2 of the cells), or in the dark (row 6)."""
    masked = a_fake(tmp_path, slice(8 * row, 8 * row + 8), slice(40, 48))

    found = localise(
        masked,
        evidence_at(2, 5),
        SHAPE,
        POINT,
        lambda: sites(structures=structures, plain=plain),
    )

    assert found.patch_auc == auc


def test_the_patch_of_an_edit_with_a_centre_only_is_as_wide_as_the_pointing_game_allows() -> None:
    x = 44 + EDIT_RADIUS_PIXELS + 2
    near, far = (a_scan(label=Label.FAKE, x=str(x + more), y="20") for more in (-2, 8))

    found = [
        localise(
            scan,
            evidence_at(2, 5),
            SHAPE,
            POINT,
            lambda: sites(structures=[], plain=[(50, 8), (60, 4)]),
        ).patch_auc
        for scan in (near, far)
    ]

    assert found == [1.0, 0.5]


@pytest.mark.parametrize("row", [16, 23])
def test_the_edited_patch_is_the_edit_from_its_first_to_its_last_row(
    tmp_path: Path, row: int
) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 48))
    evidence = np.full(SHAPE, -4, dtype=np.float32)
    evidence[row, 44] = 4
    beside = np.full(SHAPE, -4, dtype=np.float32)
    beside[15 if row == 16 else 24, 44] = 4

    found = [
        localise(scan, pixels, SHAPE, POINT, lambda: sites(structures=[DARK], plain=[])).patch_auc
        for pixels in (evidence, beside)
    ]

    assert found == [1.0, 0.5]


def test_a_centre_outside_the_scan_is_refused() -> None:
    scan = a_scan(label=Label.FAKE, x="96", y="20")

    with pytest.raises(AnnotationError, match="outside the scan of 96 × 64 pixels"):
        localise(scan, evidence_at(2, 5), SHAPE, POINT)


def test_without_sites_there_is_no_patch_auc(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56))

    assert localise(scan, evidence_at(2, 5), SHAPE, POINT).patch_auc is None


def test_evidence_keeps_its_place_at_the_resolution_of_the_scan() -> None:
    large = over_scan(evidence_at(2, 5), SHAPE)

    row, column = np.unravel_index(large.argmax(), large.shape)
    assert large.shape == SHAPE
    assert row == pytest.approx(19.5, abs=1)
    assert column == pytest.approx(43.5, abs=1)


def test_of_an_edit_with_a_centre_only_nothing_but_the_pointing_game_is_known() -> None:
    near = a_scan(label=Label.FAKE, x=str(44 + EDIT_RADIUS_PIXELS), y="20")
    far = a_scan(label=Label.FAKE, x=str(45 + EDIT_RADIUS_PIXELS), y="20")

    found = [localise(scan, evidence_at(2, 5), SHAPE, POINT) for scan in (near, far)]

    assert [f.peak_in_mask for f in found] == ["1", "0"]
    assert found[0].iou is found[0].edit_share is None


def test_a_mask_over_the_whole_scan_is_no_local_edit(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(None), slice(None))

    found = localise(scan, evidence_at(2, 5), SHAPE, POINT)

    assert (found.peak_in_mask, found.edit_share, found.iou) == ("", None, None)


def test_the_mask_of_an_authentic_scan_is_not_looked_at() -> None:
    scan = a_scan(mask="/nowhere/mask.png")

    assert localise(scan, evidence_at(2, 5), SHAPE, POINT).peak_in_mask == ""


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(16, 24), slice(40, 56), shape=(96, 64))

    with pytest.raises(AnnotationError, match="its mask is 64 × 96 pixels, the scan 96 × 64"):
        localise(scan, evidence_at(2, 5), SHAPE, POINT)


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    scan = a_fake(tmp_path, slice(0), slice(0))

    with pytest.raises(AnnotationError, match="its mask marks nothing"):
        localise(scan, evidence_at(2, 5), SHAPE, POINT)


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_mask_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mask.png").write_bytes(content)
    scan = a_scan(label=Label.FAKE, mask=str(tmp_path / "mask.png"))

    with pytest.raises(AnnotationError, match=r"its mask .*mask\.png cannot be read"):
        localise(scan, evidence_at(2, 5), SHAPE, POINT)


@pytest.mark.parametrize(("x", "y", "which"), [("left", "3", "x"), ("3", "3,5", "y")])
def test_a_centre_that_is_no_number_is_refused(x: str, y: str, which: str) -> None:
    scan = a_scan(label=Label.FAKE, x=x, y=y)

    with pytest.raises(AnnotationError, match=f"its {which} '.*' is no number"):
        localise(scan, evidence_at(2, 5), SHAPE, POINT)
