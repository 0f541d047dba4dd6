import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision import models

from tests.training.lab import SIDE, write_local_fake, write_reals, write_whole_fake
from training.data.images import read_grey
from training.data.manifest import Scan
from training.fakes.quality import report, trunks
from training.fakes.quality.contact_sheet import square_around, write_sheet
from training.fakes.quality.report import describe, measure
from training.fakes.quality.trunks import TrunkMissingError, load_trunk

NOTHING_MEASURED = dict.fromkeys(
    ("frechet_distance", "kernel_distance"), report.Figure(note="not measured")
)
SMALL = {"mobilenet_v3_small": ("classifier", 32)}


@pytest.fixture
def without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))


@pytest.fixture
def stocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the weights of a small network where torchvision looks for them; return the file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trunks, "ARCHITECTURES", SMALL)
    url = models.get_model_weights("mobilenet_v3_small")["IMAGENET1K_V1"].url
    file = tmp_path / "home" / "hub" / "checkpoints" / Path(url).name
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(models.get_model("mobilenet_v3_small", weights=None).state_dict(), file)
    return file


@pytest.fixture
def reals(tmp_path: Path) -> list[Scan]:
    train = write_reals(tmp_path / "reals", 24, side_name="train")
    return train + write_reals(tmp_path / "reals", 12, side_name="validation", first=24)


def copies(reals: list[Scan]) -> list[Scan]:
    """Return fakes that are nothing but authentic training scans."""
    return [replace(s, generator="copier", source="copier", seed="1") for s in reals[:12]]


def blocks(folder: Path) -> list[Scan]:
    return [write_whole_fake(folder, seed=seed) for seed in range(12)]


@pytest.mark.usefixtures("without_weights")
def test_without_weights_the_distances_say_why_they_were_not_measured(
    reals: list[Scan], tmp_path: Path
) -> None:
    figures = measure(blocks(tmp_path), reals)

    for name in ("frechet_distance", "kernel_distance"):
        assert figures[name].value is None
        assert "not measured: neither inception_v3_google-" in figures[name].note
    assert figures["nearest_training_scan"].value is not None


@pytest.mark.usefixtures("stocked")
def test_copies_are_nearer_to_authentic_scans_than_blocks(
    reals: list[Scan], tmp_path: Path
) -> None:
    alike, other = measure(copies(reals), reals), measure(blocks(tmp_path), reals)

    for name in ("frechet_distance", "kernel_distance"):
        near, far, authentic = alike[name].value, other[name].value, other[name].authentic
        assert near is not None
        assert far is not None
        assert authentic is not None
        # A network that has learned nothing tells hardly anything apart under the kernel.
        assert max(near, authentic) < far or name == "kernel_distance"
        assert "12/12/24 images" in alike[name].note
        assert "mobilenet_v3_small as built by torchvision" in alike[name].note


@pytest.mark.usefixtures("without_weights")
def test_a_generator_that_copies_its_training_scans_is_found_out(
    reals: list[Scan], tmp_path: Path
) -> None:
    figure = measure(copies(reals), reals)["nearest_training_scan"]

    assert figure.value == pytest.approx(0, abs=1e-3)
    assert figure.authentic is not None
    assert figure.authentic > 0.01
    assert "100.0% of the fakes are nearer to a training scan" in figure.note


@pytest.mark.usefixtures("stocked")
def test_edits_are_compared_around_their_places(reals: list[Scan], tmp_path: Path) -> None:
    edits = [
        replace(write_local_fake(real, tmp_path, seed=i), x="48", y="48")
        for i, real in enumerate(reals)
    ]

    figures = measure(edits, reals)

    distance = figures["frechet_distance"]
    assert distance.value is not None
    assert distance.authentic is not None
    assert distance.authentic < distance.value
    assert "squares of 96 pixels around edits" in distance.note
    assert "(18/18/18 images)" in distance.note
    assert figures["nearest_training_scan"].value is None
    assert "edits are made from authentic scans" in figures["nearest_training_scan"].note


@pytest.mark.usefixtures("stocked")
def test_of_too_few_scans_there_is_no_distance(reals: list[Scan], tmp_path: Path) -> None:
    figures = measure(blocks(tmp_path)[:3], reals)

    assert figures["frechet_distance"].value is None
    assert "3 scans of a kind, at least 10 are needed" in figures["frechet_distance"].note


@pytest.mark.usefixtures("without_weights")
def test_the_report_is_written_once_and_anew_for_other_fakes(
    reals: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fakes = tmp_path / "blocks", blocks(tmp_path)
    folder.mkdir()
    describe(folder, fakes, reals)
    written = json.loads((folder / "quality.json").read_bytes())
    assert (written["generator"], written["fakes"]) == ("blocks", 12)
    assert set(written["figures"]) == {
        *("frechet_distance", "kernel_distance", "nearest_training_scan"),
    }

    monkeypatch.setattr(report, "_distances", lambda *_: NOTHING_MEASURED)
    describe(folder, fakes, reals)
    assert json.loads((folder / "quality.json").read_bytes()) == written
    describe(folder, fakes[:5], reals)
    assert json.loads((folder / "quality.json").read_bytes())["fakes"] == 5


def test_what_was_not_measured_for_want_of_weights_is_measured_once_they_are_there(
    reals: list[Scan], tmp_path: Path, stocked: Path
) -> None:
    fakes, elsewhere = blocks(tmp_path), stocked.rename(tmp_path / "elsewhere.pth")
    describe(tmp_path, fakes, reals)
    without = json.loads((tmp_path / "quality.json").read_bytes())["figures"]
    elsewhere.rename(stocked)

    describe(tmp_path, fakes, reals)

    figures = json.loads((tmp_path / "quality.json").read_bytes())["figures"]
    assert without["frechet_distance"]["value"] is None
    assert figures["frechet_distance"]["value"] is not None
    assert figures["nearest_training_scan"] == without["nearest_training_scan"]


def test_of_no_fakes_there_is_no_report(reals: list[Scan], tmp_path: Path) -> None:
    describe(tmp_path, [], reals)

    assert not (tmp_path / "quality.json").exists()


# --- networks -------------------------------------------------------------------------------


def test_a_note_beside_the_weights_tells_where_they_are_from(stocked: Path) -> None:
    assert load_trunk().name.endswith("weights of torchvision (IMAGENET1K_V1)")

    note = stocked.with_name(f"{stocked.name}.source.json")
    note.write_text('{"package": "pip elsewhere==1.0"}', encoding="utf-8")

    assert load_trunk().name.endswith("weights of pip elsewhere==1.0")


@pytest.mark.usefixtures("stocked")
def test_a_trunk_sees_images_of_any_size() -> None:
    greys: list[NDArray[np.float32]] = [
        np.full(shape, 0.5, dtype=np.float32) for shape in ((40, 60), (96, 96))
    ]

    features = load_trunk().features(greys)

    assert features.shape == (2, 576)
    assert np.isfinite(features).all()


@pytest.mark.usefixtures("without_weights")
def test_missing_weights_are_named_and_not_downloaded() -> None:
    with pytest.raises(TrunkMissingError, match=r"nor resnet50-.*\.pth lies in .*empty"):
        load_trunk()


# --- contact sheets -------------------------------------------------------------------------


def test_a_sheet_shows_edits_beside_what_they_were_made_from(
    reals: list[Scan], tmp_path: Path
) -> None:
    edits = [replace(write_local_fake(r, tmp_path), x="40", y="40") for r in reals[:6]]

    write_sheet(tmp_path / "whole.png", reals[:6])
    write_sheet(tmp_path / "edits.png", edits)

    whole, pairs = (read_grey(tmp_path / f"{name}.png") for name in ("whole", "edits"))
    assert pairs.shape[0] > whole.shape[0]


@pytest.mark.parametrize("center", [(0, 0), (SIDE - 1, 0), (50, 40)])
def test_a_square_stays_within_the_scan(center: tuple[int, int]) -> None:
    grey = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)

    square = square_around(grey, center, 20)

    assert square.shape == (20, 20)
    assert grey[center[1], center[0]] in square


def test_a_square_is_no_larger_than_the_scan() -> None:
    assert square_around(np.zeros((30, 40), dtype=np.float32), (5, 5), 96).shape == (30, 30)
