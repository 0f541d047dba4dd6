from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.detection.labels import Label
from tests.factories import jpeg_bytes, png_bytes
from tests.training.lab import a_phase, a_scan, make_lung, system_config, write_reals
from training.config import DiagnosisConfig, SystemConfig
from training.data.images import read_grey, write_grey
from training.data.leakage import require_no_shortcut, require_parity
from training.data.manifest import Scan
from training.data.raw import RawScan
from training.errors import ShortcutError, TooFewScansError

Grey = NDArray[np.float32]
WHOLE = system_config(sampling="epoch", cell_loss=0.0, phases=[a_phase(crop_size=64)])
PAIRS = system_config(phases=[a_phase(crop_size=64)])


def brought(
    folder: Path, encoders: dict[Label, Callable[..., bytes]], count: int = 8, side: str = "train"
) -> list[RawScan]:
    raws = []
    for label, encode in encoders.items():
        for number in range(count):
            path = folder / f"{label.name}{number}"
            path.write_bytes(encode(make_lung(number)))
            scan = a_scan(path, label=label, source=label.name, patient=str(number), side=side)
            raws.append(RawScan(scan=scan, name=path.name))
    return raws


# --- files ----------------------------------------------------------------------------------


def test_files_of_one_kind_pass(tmp_path: Path) -> None:
    findings = require_parity(brought(tmp_path, {Label.REAL: png_bytes, Label.FAKE: png_bytes}))

    assert {"file_format", "mode", "width", "height", "quantisation", "file_size"} <= {
        finding.column for finding in findings
    }


@pytest.mark.parametrize(
    ("fakes", "column"),
    [
        (jpeg_bytes, "file_format"),
        (jpeg_bytes, "quantisation"),
        (lambda grey: png_bytes(grey, mode="RGB"), "mode"),
        (lambda grey: png_bytes(grey[:-1]), "height"),
        (lambda grey: png_bytes(grey * 0.1), "file_size"),
    ],
)
def test_files_that_tell_the_class_are_refused_by_column(
    tmp_path: Path, fakes: Callable[..., bytes], column: str
) -> None:
    with pytest.raises(ShortcutError, match=rf"The files: .*\b{column} \(AUC 1\.00"):
        require_parity(brought(tmp_path, {Label.REAL: png_bytes, Label.FAKE: fakes}))


def test_a_column_may_be_accepted(tmp_path: Path) -> None:
    raws = brought(
        tmp_path, {Label.REAL: png_bytes, Label.FAKE: lambda grey: png_bytes(grey, mode="RGB")}
    )

    findings = require_parity(raws, accepted=["mode", "file_size"])

    assert "mode" not in {finding.column for finding in findings}


def test_fakes_that_never_train_may_be_of_another_kind(tmp_path: Path) -> None:
    raws = brought(tmp_path, {Label.REAL: png_bytes}) + brought(
        tmp_path, {Label.FAKE: jpeg_bytes}, side="test"
    )

    assert require_parity(raws) == []


def test_all_sides_of_a_source_that_trains_are_looked_at(tmp_path: Path) -> None:
    raws = brought(tmp_path, {Label.REAL: png_bytes, Label.FAKE: jpeg_bytes})
    raws = [
        replace(raw, scan=replace(raw.scan, side="train" if number % 8 == 0 else "test"))
        for number, raw in enumerate(raws)
    ]

    with pytest.raises(ShortcutError, match="file_format"):
        require_parity(raws)


# --- what the detector is fed ---------------------------------------------------------------


def with_fakes(folder: Path, change: Callable[[Grey], Grey]) -> list[Scan]:
    reals = write_reals(folder, 40)
    fakes = []
    for real in write_reals(folder, 40, first=100):
        grey = np.clip(change(read_grey(real.path)), 0, 1).astype(np.float32)
        write_grey(real.path, grey)
        fakes.append(replace(real, label=Label.FAKE, generator="g"))
    return reals + fakes


def coarse(grey: Grey) -> Grey:
    return (np.round(grey * 6) / 6).astype(np.float32)


def framed(grey: Grey) -> Grey:
    return np.pad(grey[2:-2, 2:-2], 2, constant_values=1.0)


@pytest.mark.parametrize("system", [WHOLE, PAIRS], ids=["epoch", "pairs"])
def test_fakes_like_authentic_scans_pass(tmp_path: Path, system: SystemConfig) -> None:
    findings = require_no_shortcut(system, with_fakes(tmp_path, lambda grey: grey))

    assert {finding.column for finding in findings} >= {"mean", "variance", "border", "corners"}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda grey: grey + 0.1, "mean"),
        (lambda grey: grey * 0.8 + 0.1, "variance"),
        (framed, "border"),
        (framed, "corners"),
        (coarse, "file_size"),
    ],
)
def test_a_shortcut_is_refused_by_column(
    tmp_path: Path, change: Callable[[Grey], Grey], column: str
) -> None:
    scans = with_fakes(tmp_path, change)

    with pytest.raises(ShortcutError, match=rf"training side of drawn_lungs.*\b{column} \(AUC"):
        require_no_shortcut(WHOLE, scans)


def test_what_only_all_columns_together_tell_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.data import leakage
    from training.data.probe import TOGETHER, Finding

    found = [
        Finding(column="mean", auc=0.58),
        Finding(column="border", auc=0.51),
        Finding(column=TOGETHER, auc=0.8),
    ]
    monkeypatch.setattr(leakage, "probe", lambda *_: found)

    with pytest.raises(ShortcutError, match=r"together \(AUC 0\.80.*mean \(AUC 0\.58"):
        require_no_shortcut(WHOLE, with_fakes(tmp_path, lambda grey: grey))


def test_an_accepted_shortcut_is_no_reason(tmp_path: Path) -> None:
    scans = with_fakes(tmp_path, coarse)

    require_no_shortcut(
        WHOLE, scans, accepted=["file_size", "variance", "mean", "border", "corners"]
    )


def test_augmentation_can_even_a_shortcut_out(tmp_path: Path) -> None:
    scans = with_fakes(tmp_path, lambda grey: grey + 0.02)
    varied = replace(WHOLE, augmentation=replace(WHOLE.augmentation, window=1.0))

    with pytest.raises(ShortcutError, match="mean"):
        require_no_shortcut(WHOLE, scans)
    require_no_shortcut(varied, scans, accepted=["file_size"])


def test_a_class_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(TooFewScansError, match="authentic scans and fakes"):
        require_no_shortcut(PAIRS, write_reals(tmp_path, 4))


def test_what_learns_a_diagnosis_has_no_fakes_to_tell(tmp_path: Path) -> None:
    system = replace(WHOLE, diagnosis=DiagnosisConfig(column="grade", positive=["2"]))

    assert require_no_shortcut(system, write_reals(tmp_path, 2)) == []
