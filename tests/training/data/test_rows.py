from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detection.labels import Label
from tests.training.lab import a_scan
from training.data.images import write_grey
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.data.rows import require_usable_rows
from training.errors import ManifestError


def check(*scans: Scan) -> None:
    require_usable_rows(Path("m.csv"), [RawScan(scan=s, name=s.path.name) for s in scans])


def an_edit(folder: Path, **changes: Any) -> Scan:
    """Return a fake, made from a scan of its own folder."""
    origin = str((folder / "real.png").resolve())
    fields: dict[str, Any] = {"label": Label.FAKE, "generator": "editor", "origin": origin}
    return a_scan(folder / "fake.png", **(fields | changes))


@pytest.mark.parametrize("source", ["../elsewhere", "/tmp/elsewhere", "a/b", "a\\b", "..", "", " "])
def test_a_source_that_would_lead_out_of_the_folder_is_refused_by_row(source: str) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv: scan\.png: source .* cannot name a folder"):
        check(a_scan(source=source))


@pytest.mark.parametrize("source", ["mosmed", "Klinik Süd", "v1.2", "膝"])
def test_any_plain_name_is_a_source(source: str) -> None:
    check(a_scan(source=source))


def test_an_authentic_scan_of_a_generator_contradicts_itself() -> None:
    with pytest.raises(ManifestError, match="labelled real, but names the generator 'gan'"):
        check(a_scan(generator="gan"))


def test_an_origin_that_has_no_row_is_refused(tmp_path: Path) -> None:
    check(a_scan(tmp_path / "real.png"), an_edit(tmp_path))

    with pytest.raises(ManifestError, match=r"fake\.png: its origin .*real\.png has no row"):
        check(an_edit(tmp_path))


def test_a_fake_is_no_origin(tmp_path: Path) -> None:
    other = a_scan(tmp_path / "real.png", label=Label.FAKE, generator="gan")

    with pytest.raises(ManifestError, match="has no row as an authentic scan"):
        check(other, an_edit(tmp_path))


@pytest.mark.parametrize(("x", "y"), [("left", "3"), ("3", ""), ("-1", "3"), ("inf", "3")])
def test_a_place_that_is_none_is_refused(tmp_path: Path, x: str, y: str) -> None:
    with pytest.raises(ManifestError, match="are no place in pixels"):
        check(an_edit(tmp_path, origin="", x=x, y=y))


def test_a_mask_that_is_missing_broken_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    write_grey(tmp_path / "empty.png", np.zeros((8, 8), np.float32))
    write_grey(tmp_path / "ones.png", np.eye(8, dtype=np.float32) / np.float32(255))
    write_grey(tmp_path / "mask.png", np.eye(8, dtype=np.float32))
    problems = {
        "none": "cannot be read",
        "broken": "cannot be read",
        "empty": "marks nothing",
        "ones": r"marks nothing: white \(255\) is inside",
    }

    check(an_edit(tmp_path, origin="", mask=str(tmp_path / "mask.png"), x="3", y="4.5"))
    for name, problem in problems.items():
        with pytest.raises(ManifestError, match=problem):
            check(an_edit(tmp_path, origin="", mask=str(tmp_path / f"{name}.png")))
