"""From a contested verdict in the application to scans that training can use."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from app.detection.labels import Label, Verdict
from app.records import Opinion, Role, User
from app.services.decoding import pictures
from tests.app.services.reviews.review_board import Board, open_board
from tests.factories import make_grey
from tests.people import person
from training.cli import main
from training.data.images import read_grey
from training.data.manifest import read_index
from training.data.sources.base import read_source
from training.data.sources.veriscan_reviews import NAME
from training.errors import SourceError
from training.runs import dataset_paths

DATASET = """
name = "settled"
modality = "lung_ct"
seed = 1
sides = { train = 0.5, validation = 0.25, test = 0.25 }
"""
OWNERS = [person() for _ in range(4)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Path:
    """An export of eight settled cases: two of each owner, one real and one fake."""
    folder = tmp_path_factory.mktemp("app")
    board = open_board(folder / "data", tiny_weights_dir)
    for number, owner in enumerate(OWNERS):
        take_through(board, owner, 2 * number, Opinion.REAL)
        take_through(board, owner, 2 * number + 1, Opinion.FAKE)
    board.services.labels.export(folder / "labels")
    board.services.stop()
    return folder / "labels"


def take_through(board: Board, owner: User, seed: int, opinion: Opinion) -> None:
    analysis = board.judged(owner, Verdict.INCONCLUSIVE, seed=seed)
    reviews = board.services.reviews
    case = reviews.contest(owner, analysis.id, "Doubtful.", may_be_label=True)
    for _ in range(2):
        reviews.answer(person(Role.REVIEWER), case.id, opinion)


def prepare(tmp_path: Path, *arguments: object) -> Result:
    config = tmp_path / "settled.toml"
    config.write_text(DATASET)
    asked = ("prepare", "--dataset", config, "--runs", tmp_path / "runs", *arguments)
    return CliRunner().invoke(main, [str(argument) for argument in asked])


def test_settled_cases_are_prepared_with_their_labels_and_their_owners_together(
    tmp_path: Path, exported: Path
) -> None:
    result = prepare(tmp_path, "--from-app", exported)

    assert result.exit_code == 0, result.output
    scans = read_index(dataset_paths(tmp_path / "runs", "settled").scans_index)
    assert [scan.label for scan in scans].count(Label.FAKE) == 4
    assert len(scans) == 8
    sides: dict[str, set[str]] = {}
    for scan in scans:
        sides.setdefault(scan.patient, set()).add(scan.side)
    assert len(sides) == 4
    assert all(len(own) == 1 for own in sides.values())
    assert all("consent" in scan.licence for scan in scans)


def test_the_grey_values_are_those_that_were_judged(tmp_path: Path, exported: Path) -> None:
    prepare(tmp_path, "--from-app", exported)

    scans = read_index(dataset_paths(tmp_path / "runs", "settled").scans_index)
    judged = [pictures.restored(pictures.quantised(make_grey(seed=seed))) for seed in range(8)]
    for scan in scans:
        nearest = min(float(np.abs(read_grey(scan.path) - grey).max()) for grey in judged)
        assert nearest <= 0.5001 / 255


def test_a_modality_without_settled_cases_is_refused_in_words(
    tmp_path: Path, exported: Path
) -> None:
    shutil.copytree(exported / "lung_ct", tmp_path / "labels" / "knee_xray")

    result = prepare(tmp_path, "--from-app", tmp_path / "labels")

    assert result.exit_code == 1
    assert "there is no folder" in result.output


def test_a_folder_that_is_no_export_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="flask export-labels"):
        read_source(NAME, tmp_path)
