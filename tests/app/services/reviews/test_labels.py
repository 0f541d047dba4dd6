"""Settled cases as labels, and how far reviewers and detector agree."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.detection.labels import Verdict
from app.errors import ExportFolderError
from app.records import Opinion, ReviewCase, Role, User
from app.services.decoding import pictures
from app.services.reviews import labels
from app.services.reviews.labels import SOURCE
from tests.app.services.reviews.review_board import Board, open_board
from tests.factories import make_grey
from tests.people import person

REAL, FAKE, UNSURE = Opinion.REAL, Opinion.FAKE, Opinion.UNSURE
REVIEWERS = [person(Role.REVIEWER) for _ in range(3)]


@pytest.fixture
def board(tmp_path: Path, tiny_weights_dir: Path) -> Iterator[Board]:
    board = open_board(tmp_path / "data", tiny_weights_dir)
    yield board
    board.services.stop()


def settle(
    board: Board,
    owner: User,
    seed: int,
    *opinions: Opinion,
    may_be_label: bool = True,
    **more: object,
) -> ReviewCase:
    """Take a new scan of somebody's through contesting and answers."""
    verdict = more.pop("verdict", Verdict.FAKE)
    assert isinstance(verdict, Verdict)
    analysis = board.judged(owner, verdict, seed=seed, **more)
    reviews = board.services.reviews
    case = reviews.contest(owner, analysis.id, "Doubtful.", may_be_label=may_be_label)
    for reviewer, opinion in zip(REVIEWERS, opinions, strict=False):
        case = reviews.answer(reviewer, case.id, opinion, "Dr House thinks so.")
    return case


def rows_in(folder: Path, modality: str = "lung_ct") -> list[dict[str, str]]:
    with (folder / modality / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- export ---------------------------------------------------------------------------------


def test_a_settled_case_becomes_a_row_and_a_picture(board: Board, tmp_path: Path) -> None:
    settle(board, person(), 1, FAKE, FAKE)

    exported = board.services.labels.export(tmp_path / "out")

    (row,) = rows_in(tmp_path / "out")
    assert (row["label"], row["source"], row["modality"]) == ("fake", SOURCE, "lung_ct")
    png = (tmp_path / "out" / "lung_ct" / row["path"]).read_bytes()
    grey = pictures.restored(pictures.decoded(png))
    assert np.array_equal(grey, pictures.restored(pictures.quantised(make_grey(seed=1))))
    assert exported.written == {("lung_ct", "fake"): 1}
    assert exported.left_out == {}


def test_each_modality_has_a_manifest_of_its_own(board: Board, tmp_path: Path) -> None:
    settle(board, person(), 1, FAKE, FAKE)
    settle(board, person(), 2, REAL, REAL, modality="knee_xray")

    board.services.labels.export(tmp_path / "out")

    assert [row["label"] for row in rows_in(tmp_path / "out")] == ["fake"]
    assert [row["label"] for row in rows_in(tmp_path / "out", "knee_xray")] == ["real"]


def test_left_out_is_what_may_not_be_used(board: Board, tmp_path: Path) -> None:
    owner = person()
    settle(board, owner, 1, FAKE, FAKE, may_be_label=False)
    settle(board, owner, 2, FAKE, REAL, UNSURE)
    settle(board, owner, 3, FAKE, FAKE, burned_in_text=True)
    settle(board, owner, 4, FAKE)
    gone = settle(board, owner, 5, FAKE, FAKE)
    board.services.analyses._images.delete(gone.analysis_id)
    deleted = settle(board, owner, 6, FAKE, FAKE)
    board.services.analyses.delete(owner, deleted.analysis_id)

    exported = board.services.labels.export(tmp_path / "out")

    assert exported.written == {}
    assert exported.left_out == {
        labels.WITHOUT_CONSENT: 1,
        labels.UNDECIDED: 1,
        labels.BURNED_IN_TEXT: 1,
        labels.SCAN_GONE: 1,
    }
    assert not (tmp_path / "out").exists()


def test_consent_that_was_taken_back_counts_from_the_next_export_on(
    board: Board, tmp_path: Path
) -> None:
    owner = person()
    case = settle(board, owner, 1, FAKE, FAKE)
    board.services.labels.export(tmp_path / "before")

    board.services.reviews.set_may_be_label(owner, case.analysis_id, may_be_label=False)

    assert rows_in(tmp_path / "before")
    assert board.services.labels.export(tmp_path / "after").written == {}


def test_the_scans_of_one_owner_are_one_patient_and_those_of_others_another(
    board: Board, tmp_path: Path
) -> None:
    one, other = person(), person()
    for seed, owner in ((1, one), (2, one), (3, other)):
        settle(board, owner, seed, REAL, REAL)

    board.services.labels.export(tmp_path / "out")
    board.services.labels.export(tmp_path / "again")

    patients = [row["patient"] for row in rows_in(tmp_path / "out")]
    assert patients[0] == patients[1] != patients[2]
    assert rows_in(tmp_path / "again") == rows_in(tmp_path / "out")


def test_an_image_of_two_owners_comes_once_and_makes_them_one_patient(
    board: Board, tmp_path: Path
) -> None:
    one, other, third = person(), person(), person()
    for seed, owner in ((1, one), (1, other), (2, other), (2, third), (3, third), (4, one)):
        settle(board, owner, seed, FAKE, FAKE)

    exported = board.services.labels.export(tmp_path / "out")

    rows = rows_in(tmp_path / "out")
    assert len(rows) == 4
    assert len({row["patient"] for row in rows}) == 1
    assert exported.left_out == {labels.TWICE: 2}


def test_an_image_with_two_outcomes_is_no_label(board: Board, tmp_path: Path) -> None:
    settle(board, person(), 1, FAKE, FAKE)
    settle(board, person(), 1, REAL, REAL)

    exported = board.services.labels.export(tmp_path / "out")

    assert exported.written == {}
    assert exported.left_out == {labels.CONTRADICTED: 2}


def test_what_is_written_names_nobody(board: Board, tmp_path: Path) -> None:
    owner = person()
    case = settle(board, owner, 1, FAKE, FAKE)

    board.services.labels.export(tmp_path / "out")

    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    text = (tmp_path / "out" / "lung_ct" / "manifest.csv").read_text()
    everything = text + "".join(path.name for path in files)
    for identity in (owner.id, case.id, case.analysis_id, *(r.id for r in REVIEWERS)):
        assert str(identity) not in everything
        assert identity.hex not in everything
    assert "House" not in everything
    assert "2026" not in text
    assert re.fullmatch(r"[0-9a-f]{16}", rows_in(tmp_path / "out")[0]["patient"])
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_nothing_of_an_earlier_export_may_stay(board: Board, tmp_path: Path) -> None:
    settle(board, person(), 1, FAKE, FAKE)
    board.services.labels.export(tmp_path / "out")

    with pytest.raises(ExportFolderError, match="not empty"):
        board.services.labels.export(tmp_path / "out")


def test_a_folder_that_is_a_file_is_refused_in_words(board: Board, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ExportFolderError):
        board.services.labels.export(tmp_path / "file")


# --- agreement ------------------------------------------------------------------------------


def test_agreement_is_counted_by_modality_verdict_and_outcome(board: Board) -> None:
    owner = person()
    for seed, opinions in enumerate([(FAKE, FAKE), (FAKE, FAKE), (REAL, FAKE, REAL)]):
        settle(board, owner, seed, *opinions)
    settle(board, owner, 10, REAL, REAL, verdict=Verdict.REAL)
    settle(board, owner, 11, UNSURE, UNSURE, verdict=Verdict.INCONCLUSIVE)
    settle(board, owner, 12, FAKE, verdict=Verdict.REAL)
    settle(board, owner, 13, FAKE, FAKE, modality="knee_xray")

    knee, lung = board.services.agreement.by_modality()

    assert (knee.modality, knee.total) == ("knee_xray", 1)
    assert lung.total == 5
    assert (lung.upheld, lung.decided) == (3, 4)
    assert (lung.pairs_alike, lung.pairs) == (5, 7)


def test_without_settled_cases_there_is_nothing_to_count(board: Board) -> None:
    assert board.services.agreement.by_modality() == []
