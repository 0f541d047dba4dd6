from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detection.labels import Label
from app.detection.weights import LoadedDetector
from tests.training.evaluation_lab import DETECTOR
from tests.training.lab import a_scan, make_lung
from training.data.images import write_grey
from training.data.manifest import Scan
from training.evaluation import journal as journal_module
from training.evaluation.predict import Judged, judge
from training.evaluation.runtime import Runtime


@pytest.fixture
def scans(tmp_path: Path) -> list[Scan]:
    mask = np.zeros((64, 64), dtype=np.float32)
    mask[10:20, 30:40] = 1
    write_grey(tmp_path / "mask.png", mask)
    for number in range(4):
        write_grey(tmp_path / f"{number}.png", make_lung(number, 64))
    edited = {"label": Label.FAKE, "mask": str(tmp_path / "mask.png"), "generator": "drawn"}
    return [a_scan(tmp_path / f"{n}.png", **(edited if n else {})) for n in range(4)]


class Judging:
    """Counts how often a network is asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.asked = 0
        self.breaks_at = 0
        look = Runtime.look

        def counting(*args: Any) -> object:
            self.asked += 1
            if self.asked == self.breaks_at:
                raise KeyboardInterrupt
            return look(*args)

        monkeypatch.setattr(Runtime, "look", counting)

    def __call__(
        self, scans: list[Scan], detector: LoadedDetector = DETECTOR, **options: Any
    ) -> Judged:
        self.asked = 0
        manifest = self.folder / "m.csv"
        return judge(detector, scans, manifest, journal=self.folder / "journals", **options)


@pytest.fixture
def judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judging:
    return Judging(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _code_is_read_anew() -> Iterator[None]:
    journal_module._code.cache_clear()
    yield
    journal_module._code.cache_clear()


def test_what_was_said_is_said_again_without_asking(judging: Judging, scans: list[Scan]) -> None:
    first = judging(scans)
    assert judging.asked == len(scans)

    assert judging(scans) == first
    assert judging.asked == 0
    assert first == judge(DETECTOR, scans, judging.folder / "m.csv")


def test_judging_that_was_stopped_goes_on(judging: Judging, scans: list[Scan]) -> None:
    judging.breaks_at = 3
    with pytest.raises(KeyboardInterrupt):
        judging(scans)
    judging.breaks_at = 0

    found = judging(scans)

    assert judging.asked < len(scans)
    assert found == judge(DETECTOR, scans, judging.folder / "m.csv")


def test_a_line_that_was_cut_off_is_judged_again(judging: Judging, scans: list[Scan]) -> None:
    first = judging(scans)
    (file,) = (judging.folder / "journals").iterdir()
    file.write_bytes(file.read_bytes()[:-20])

    assert judging(scans) == first
    assert judging.asked == 1
    assert judging(scans) == first
    assert judging.asked == 0


def test_a_garbled_line_in_the_middle_spoils_no_other(judging: Judging, scans: list[Scan]) -> None:
    first = judging(scans)
    (file,) = (judging.folder / "journals").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], lines[1][:50], *lines[2:]]))

    assert judging(scans) == first
    assert judging.asked == 2, "the cut line took the next one with it"


def test_each_set_of_changes_has_lines_of_its_own(judging: Judging, scans: list[Scan]) -> None:
    changes = {"darker": lambda grey, path: grey * 0.5, "same": lambda grey, path: grey}
    judging(scans)

    changed = judging(scans, variations=changes)
    assert judging.asked == 2 * len(scans)

    assert judging(scans, variations=changes) == changed
    assert judging.asked == 0


def test_other_pixels_and_another_mask_are_judged_again(
    judging: Judging, scans: list[Scan]
) -> None:
    judging(scans)
    write_grey(scans[0].path, make_lung(9, 64))

    judging(scans)
    assert judging.asked == 1

    write_grey(Path(scans[1].mask), np.ones((64, 64), dtype=np.float32))
    judging(scans)
    assert judging.asked == 3, "three of them have that mask"


def test_another_operating_point_is_another_detector(judging: Judging, scans: list[Scan]) -> None:
    judging(scans)
    point = replace(DETECTOR.card.operating_point, temperature=3.0)
    warmer = replace(DETECTOR, card=replace(DETECTOR.card, operating_point=point))

    rows = judging(scans, warmer).rows

    assert judging.asked == len(scans)
    assert rows == judge(warmer, scans, judging.folder / "m.csv").rows


def test_other_code_judges_again(
    judging: Judging, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    judging(scans)
    package = judging.folder / "package"
    package.mkdir()
    (package / "changed.py").write_text("", encoding="utf-8")
    monkeypatch.setattr("training.__path__", [str(package)])
    journal_module._code.cache_clear()

    judging(scans)

    assert judging.asked == len(scans)


def test_a_mask_of_no_use_is_told_every_time(judging: Judging, scans: list[Scan]) -> None:
    write_grey(Path(scans[1].mask), np.ones((32, 32), dtype=np.float32))

    for _ in range(2):
        assert len(judging(scans).skipped) == 3


def test_what_could_not_be_read_is_tried_again(judging: Judging, scans: list[Scan]) -> None:
    good = scans[0].path.read_bytes()
    scans[0].path.write_bytes(good[:40])
    for _ in range(2):
        assert [skipped.path for skipped in judging(scans).skipped] == ["0.png"]

    scans[0].path.write_bytes(good)

    assert not judging(scans).skipped
    assert judging.asked == 1
