from dataclasses import replace
from pathlib import Path

import pytest

from app.detection.labels import Label
from tests.training.lab import a_scan, dataset_config, system_config, write_dataset
from training.candidate import Candidate, checkpoint_bytes
from training.classifiers.train import Hardware, train
from training.data.manifest import Scan
from training.errors import LearnedFromError
from training.people import PEOPLE_FILE, remember_people, require_strangers
from training.runs import SystemPaths


def four(*sides: str) -> list[Scan]:
    return [a_scan(f"{n}.png", patient=f"p{n}", side=side) for n, side in enumerate(sides)]


def test_people_who_taught_may_not_be_measured_on(tmp_path: Path) -> None:
    remember_people(tmp_path, four("train", "train", "validation", "test"))

    with pytest.raises(LearnedFromError, match=r"learned from patient drawn/p1, .* the test side"):
        require_strangers(tmp_path, four("train", "test", "validation", "train"))


def test_a_fake_of_somebody_who_taught_may_not_be_measured_on(tmp_path: Path) -> None:
    remember_people(tmp_path, [a_scan(patient="p", side="train")])
    fake = a_scan("fake.png", patient="p", side="validation", label=Label.FAKE, generator="g")

    with pytest.raises(LearnedFromError, match="validation side"):
        require_strangers(tmp_path, [fake])


def test_more_people_may_join_and_others_may_move_to_the_training_side(tmp_path: Path) -> None:
    remember_people(tmp_path, four("train", "test"))

    require_strangers(tmp_path, four("train", "train", "test"))


def test_what_a_stopped_run_learned_from_is_not_forgotten_when_it_goes_on(tmp_path: Path) -> None:
    remember_people(tmp_path, four("train", "test"))
    remember_people(tmp_path, four("train", "train"))

    with pytest.raises(LearnedFromError, match="p1"):
        require_strangers(tmp_path, four("train", "test"))


def test_nobody_is_named_on_file(tmp_path: Path) -> None:
    remember_people(tmp_path, [a_scan(patient="Jane Doe", side="train")])

    assert "Jane" not in (tmp_path / PEOPLE_FILE).read_text(encoding="utf-8")


def test_a_system_is_neither_kept_nor_published_once_its_teachers_are_test_scans(
    tmp_path: Path,
) -> None:
    scans = write_dataset(tmp_path / "scans", train=2, validation=2)
    config = system_config(phases=[replace(system_config().phases[0], epochs=1, steps_per_epoch=1)])
    paths = SystemPaths(tmp_path / "run")
    train(config, scans, paths, Hardware())
    moved = [replace(s, side={"train": "test"}.get(s.side, s.side)) for s in scans]
    candidate = Candidate(config=config, dataset=dataset_config(), scans=moved, paths=paths)

    with pytest.raises(LearnedFromError):
        train(config, moved, paths, Hardware())
    with pytest.raises(LearnedFromError):
        checkpoint_bytes(candidate)
    assert checkpoint_bytes(replace(candidate, scans=scans))
