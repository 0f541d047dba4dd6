import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from app.detection.labels import Label
from tests.training.lab import SIDE, TINY_DCGAN, a_scan, dataset_config, make_manifest
from training.config import DatasetConfig, FakesConfig, load_dataset_config
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan, read_index, write_index
from training.data.prepare import prepare
from training.data.splits import COMPANION, check_no_leak
from training.errors import (
    LeakError,
    LearnedFromError,
    StageMissingError,
    StaleRunError,
    TooFewScansError,
)
from training.fakes import base
from training.fakes.base import Fake, Generator
from training.fakes.produce import JOURNAL, produce, read_companions, read_dataset
from training.runs import DatasetPaths, dataset_paths


class Negative(Generator):
    """Turns black into white, and remembers what it was shown."""

    edits_originals = True
    seen: ClassVar[list[Path]] = []

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        Negative.seen = list(scans)

    def make(self, original: object, *, seed: int) -> Fake | None:
        grey = 1 - np.asarray(original, dtype=np.float32)
        mask = np.zeros(grey.shape, dtype=bool)
        mask[10:20, 30:50] = True
        return Fake(grey=grey, mask=mask, tamper="negative", center=(40, 15)) if seed % 5 else None


class Even(Generator):
    """Makes scans of one grey, which their seeds tell."""

    edits_originals = False

    @staticmethod
    def level(seed: int) -> float:
        return 0.1 + seed % 100 / 200  # never so dark that it is taken for background

    def fit(self, scans: Sequence[Path], folder: Path, *, seed: int) -> None:
        """There is nothing to learn."""

    def make(self, original: object, *, seed: int) -> Fake:
        return Fake(grey=np.full((SIDE, SIDE), self.level(seed), dtype=np.float32))


EDITS = FakesConfig(
    generator="classical_edits",
    per_real=6,
    arguments={"sites": "lung", "min_side": 12, "max_side": 16, "donors_per_scan": 1},
)
KILLED = f"""
import sys
from pathlib import Path
from tests.training.lab import dataset_config
from training.config import FakesConfig
from training.fakes.produce import produce
from training.runs import DatasetPaths
fakes = FakesConfig(generator="classical_edits", per_real=6, arguments={EDITS.arguments!r})
produce(dataset_config(fakes=[fakes]), DatasetPaths(Path(sys.argv[1])))
"""


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    return DatasetPaths(tmp_path / "dataset")


@pytest.fixture
def negatives(monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    """A data set with a generator that costs nothing."""
    monkeypatch.setattr(base, "_generators", {**base.generators(), "negative": Negative})
    return dataset_config(fakes=[FakesConfig(generator="negative", per_real=3)])


def prepared(
    folder: Path, paths: DatasetPaths, config: DatasetConfig, count: int = 8
) -> list[Scan]:
    return prepare(make_manifest(folder, count), config, paths)


def test_both_shipped_kinds_of_fakes_are_made_for_every_side(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    config = dataset_config()
    reals = prepared(tmp_path, paths, config)

    scans = produce(config, paths)

    assert read_dataset(config, paths) == scans
    check_no_leak(scans)
    for generator in ("dcgan", "inpainting_gan"):
        fakes = [s for s in scans if s.generator == generator]
        assert all(s.label is Label.FAKE for s in fakes)
        assert sorted(s.side for s in fakes) == sorted(s.side for s in reals)
    drawn_sides = {s.generator: s.drawn_side for s in scans}
    assert drawn_sides == {"": "", "dcgan": str(TINY_DCGAN["side"]), "inpainting_gan": ""}


def test_a_local_edit_stands_with_its_origin_and_bears_its_patient(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    reals = {str(s.path): s for s in prepared(tmp_path, paths, negatives)}

    fakes = [s for s in produce(negatives, paths) if s.label is Label.FAKE]

    assert fakes
    for fake in fakes:
        real = reals[fake.origin]
        assert (fake.side, fake.person) == (real.side, real.person)
        assert (fake.tamper, fake.x, fake.y) == ("negative", "40", "15")
        assert read_grey(fake.path) == pytest.approx(1 - read_grey(real.path), abs=1e-6)
        mask = read_grey(fake.mask)
        assert set(np.unique(mask)) == {0, 1}
        assert mask.sum() == 200


def test_generators_see_authentic_training_scans_only(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    reals = prepared(tmp_path, paths, negatives)

    produce(negatives, paths)

    assert sorted(Negative.seen) == sorted(s.path for s in reals if s.side == "train")


def test_a_fake_of_a_third_party_is_neither_learned_from_nor_edited(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    reals = prepared(tmp_path, paths, negatives)
    foreign = tmp_path / "foreign.png"
    write_grey(foreign, np.zeros((96, 96), dtype=np.float32))
    fake = a_scan(foreign, label=Label.FAKE, source="other", generator="other", side="train")
    write_index(paths.scans_index, [*reals, fake])

    scans = produce(negatives, paths)

    assert foreign not in Negative.seen
    assert str(foreign) not in {s.origin for s in scans}


def test_scans_without_a_place_for_an_edit_are_left_out(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)

    fakes = [s for s in produce(negatives, paths) if s.label is Label.FAKE]

    assert 0 < len(fakes) < 8 * 3
    assert all(int(s.seed) % 5 for s in fakes)


def test_fakes_of_one_original_differ_in_their_seeds(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)

    fakes = [s for s in produce(negatives, paths) if s.label is Label.FAKE]

    assert len({s.seed for s in fakes}) == len(fakes) == len({s.path for s in fakes})


def test_a_stopped_stage_keeps_what_it_made_and_makes_the_rest(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    scans = produce(negatives, paths)
    kept, lost = [s.path for s in scans if s.label is Label.FAKE][:2]
    before = read_grey(lost)
    os.utime(kept, (1, 1))
    lost.unlink()
    paths.fakes_index("negative").unlink()

    again = produce(negatives, paths)

    assert again == scans
    assert kept.stat().st_mtime == 1
    assert np.array_equal(read_grey(lost), before)


def test_a_finished_set_is_neither_learned_nor_made_again(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    scans = produce(negatives, paths)
    Negative.seen = []

    again = produce(negatives, paths)

    assert again == scans
    assert Negative.seen == []


def test_a_stage_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    config = dataset_config(
        fakes=[EDITS, FakesConfig(generator="dcgan", arguments=dict(TINY_DCGAN))]
    )
    prepared(tmp_path, paths, config)
    whole = DatasetPaths(tmp_path / "whole")
    prepared(tmp_path, whole, config)
    produce(config, whole)
    journal = paths.generator_dir(EDITS.folder_name) / JOURNAL
    stage = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(paths.root)], stderr=subprocess.DEVNULL
    )
    while not (journal.exists() and journal.read_text(encoding="utf-8").count("\n") > 2):
        assert stage.poll() is None
        time.sleep(0.01)
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    assert not paths.fakes_index(EDITS.folder_name).exists()

    produce(config, paths)

    for folder in ("fakes/classical_edits", "fakes/dcgan"):
        files = [
            p.relative_to(whole.root)
            for p in sorted((whole.root / folder).rglob("*"))
            if p.suffix in {".png", ".csv", ".jsonl"} and p.name != "contact_sheet.png"
        ]
        assert len(files) >= 10
        for file in files:
            assert (paths.root / file).read_bytes() == (whole.root / file).read_bytes(), file


def test_a_generator_whose_teachers_stand_on_another_side_by_now_is_refused(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    produce(negatives, paths)
    prepared(tmp_path, paths, negatives, count=12)  # with more patients, sides are drawn anew

    with pytest.raises(LearnedFromError, match="negative learned from patient drawn/p"):
        produce(negatives, paths)


def test_a_generator_may_stand_twice_under_two_names(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    fakes = [FakesConfig(generator="negative"), FakesConfig(generator="negative", name="second")]
    config = replace(negatives, fakes=fakes)
    prepared(tmp_path, paths, config)

    scans = produce(config, paths)

    first, second = (read_index(paths.fakes_index(name)) for name in ("negative", "second"))
    assert {s.generator for s in [*first, *second]} == {"negative"}
    assert {s.path for s in first}.isdisjoint(s.path for s in second)
    assert {s.seed for s in first}.isdisjoint(s.seed for s in second)
    assert read_dataset(config, paths) == scans


def test_companions_are_the_training_sides_of_other_data_sets(
    tmp_path: Path, negatives: DatasetConfig
) -> None:
    config = tmp_path / "others.toml"
    config.write_text(
        'name = "others"\nmodality = "lung_ct"\nseed = 1\n'
        "[sides]\ntrain = 0.5\nvalidation = 0.25\ntest = 0.25\n"
        '[[fakes]]\ngenerator = "negative"\n',
        encoding="utf-8",
    )
    others = load_dataset_config(str(config))
    paths = dataset_paths(tmp_path / "runs", "others")
    prepared(tmp_path, paths, others)
    training = [s for s in produce(others, paths) if s.side == "train"]

    found = read_companions([str(config)], tmp_path / "runs")

    assert found == [replace(s, side=COMPANION) for s in training]
    assert {s.label for s in found} == set(Label)
    assert read_companions([], tmp_path / "runs") == []


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two \[\[fakes\]\] are named 'dcgan'"):
        dataset_config(fakes=[FakesConfig(generator="dcgan"), FakesConfig(generator="dcgan")])


def test_fakes_of_both_sizes_do_not_mix(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    fakes = FakesConfig(generator="negative", full_size_arguments={"strength": 0.5})
    config = replace(negatives, fakes=[fakes])
    prepared(tmp_path, paths, config)
    produce(config, paths)

    assert config.at_full_size.fakes[0].arguments == {"strength": 0.5}
    with pytest.raises(StaleRunError, match="negative was made with other settings"):
        produce(config.at_full_size, paths)


def test_what_full_size_would_be_does_not_make_a_smaller_set_stale(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    scans = produce(negatives, paths)
    fakes = replace(negatives.fakes[0], full_size_arguments={"strength": 0.5})

    assert produce(replace(negatives, fakes=[fakes]), paths) == scans


def test_fakes_that_only_teach_stand_on_the_training_side_alone(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    everywhere = produce(negatives, paths)
    teaching = replace(negatives.fakes[0], teaches_only=True)

    scans = produce(replace(negatives, fakes=[teaching]), paths)

    assert scans == [s for s in everywhere if not s.generator or s.side == "train"]


@pytest.mark.parametrize("together", [1, 5])
def test_whole_images_made_together_are_named_and_seeded_one_by_one(
    together: int, tmp_path: Path, paths: DatasetPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Even, "together", together)
    monkeypatch.setattr(base, "_generators", {**base.generators(), "even": Even})
    config = dataset_config(fakes=[FakesConfig(generator="even", per_real=2)])
    prepared(tmp_path, paths, config)
    fakes = [s for s in produce(config, paths) if s.generator]
    assert len(fakes) == 16
    for fake in fakes:
        assert read_grey(fake.path) == pytest.approx(Even.level(int(fake.seed)), abs=1 / 255)
    lost = fakes[7].path
    before = lost.read_bytes()
    lost.unlink()

    produce(config, paths)

    assert lost.read_bytes() == before


def test_figures_and_a_contact_sheet_come_with_each_set(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    produce(negatives, paths)

    folder = paths.generator_dir("negative")

    assert "frechet_distance" in (folder / "quality.json").read_text(encoding="utf-8")
    assert read_grey(folder / "contact_sheet.png").size > 0


def test_the_data_set_has_to_be_prepared_first(paths: DatasetPaths) -> None:
    with pytest.raises(StageMissingError, match="python -m training prepare --dataset drawn_lungs"):
        produce(dataset_config(), paths)
    with pytest.raises(StageMissingError, match="python -m training prepare --dataset drawn_lungs"):
        read_dataset(dataset_config(), paths)


def test_the_fakes_have_to_be_made_before_they_are_read(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    prepared(tmp_path, paths, dataset_config())

    with pytest.raises(StageMissingError, match="python -m training fakes --dataset drawn_lungs"):
        read_dataset(dataset_config(), paths)


def test_without_an_authentic_training_scan_nothing_is_made(
    tmp_path: Path, paths: DatasetPaths
) -> None:
    write_grey(tmp_path / "a.png", np.zeros((96, 96), dtype=np.float32))
    write_index(paths.scans_index, [a_scan(tmp_path / "a.png", side="test")])

    with pytest.raises(TooFewScansError, match="no authentic scan on the training side"):
        produce(dataset_config(), paths)


def test_a_leak_is_noticed_when_the_data_set_is_read(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    scans = produce(negatives, paths)
    index = paths.fakes_index("negative")
    fakes = [s for s in scans if s.generator]
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace(f",{fakes[0].side},", ",elsewhere,"), encoding="utf-8")

    with pytest.raises(LeakError, match="elsewhere"):
        read_dataset(negatives, paths)


def test_an_index_lists_what_lies_on_the_disk(
    tmp_path: Path, paths: DatasetPaths, negatives: DatasetConfig
) -> None:
    prepared(tmp_path, paths, negatives)
    produce(negatives, paths)

    listed = {s.path for s in read_index(paths.fakes_index("negative"))}

    assert listed == set((paths.generator_dir("negative") / "images").iterdir())
